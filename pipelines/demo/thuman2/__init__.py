"""Demo raw data in the exact layout of THuman2.0: clothed people made of the free stand-in body.

from tessera.pipelines.demo.thuman2 import generate
generate(Path("raw"), scale="small")
"""

from .produce import generate

__all__ = ["generate"]
