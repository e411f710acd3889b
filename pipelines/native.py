"""Import of compiled libraries that need a system library which wheels of ours supply."""

import ctypes
from types import ModuleType

import libusb_package


def import_open3d() -> ModuleType:
    """Open3D, with libusb preloaded from its wheel, so that no system package is needed.

    Raises:
        ImportError: Open3D is not installed (`make setup`).
    """
    ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
    import open3d

    return open3d
