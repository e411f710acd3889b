"""Texts that come from raw files and from strangers' data sets, made safe to print."""


def printable(text: str, keep: str = "") -> str:
    """`text` with every character that is not for printing as its escape, such as `\\x1b` or `\\udcff`.

    Terminal escapes, line breaks, marks that turn the direction of writing, and bytes of names that are no UTF-8 thus
    show as what they are. Printable text comes back as it is, and twice is once.

    Args:
        text: any text.
        keep: characters that stay although they are not for printing, such as a line break.
    """
    if text.isprintable():
        return text
    return "".join(x if x.isprintable() or x in keep else x.encode("unicode_escape").decode() for x in text)
