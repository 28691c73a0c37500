"""What desktops, NAS boxes, archives and file systems leave in folders: never input.

The one list of it, used for the pictures' folders and to tell whether an output folder is empty.
"""

from __future__ import annotations

# In lower case.
_NAMES = frozenset(
    (
        # macOS: of archives, of the Finder, of volumes, of file servers
        *("__macosx", ".ds_store", ".localized", "icon\r", ".apdisk", ".appledouble"),
        *(".documentrevisions-v100", ".fseventsd", ".spotlight-v100", ".temporaryitems"),
        *(".trashes", ".volumeicon.icns", "network trash folder", "temporary items"),
        "thevolumesettingsfolder",
        # Windows
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin"),
        *("system volume information", "recycler", "$extend", "found.000"),
        # NAS boxes: Synology, QNAP, NetApp
        *("@eadir", "#recycle", "#snapshot", ".@__thumb", "@recycle", "@recently-snapshot"),
        *(".snapshot", "~snapshot", "@tmp", "@sharebin"),
        # Android
        "lost.dir",
        # Linux: file systems, desktops, quota
        *("lost+found", ".directory", "aquota.user", "aquota.group"),
        # Python, Jupyter
        *("__pycache__", ".ipynb_checkpoints"),
    )
)
_PREFIXES = ("._", ".trash-", ".nfs", ".fuse_hidden", "~$")
# Streams that Windows and Synology keep beside a file, once copied to another file system.
_SUFFIXES = (":zone.identifier", "@synoeastream", "@synoresource")


def is_leftover(name: str) -> bool:
    """Whether a system left this file or folder behind; `name` is without folders."""
    lower = name.lower()
    return lower in _NAMES or lower.startswith(_PREFIXES) or lower.endswith(_SUFFIXES)


def is_passed_over(name: str) -> bool:
    """Whether an input folder's file or folder is left out without a warning: hidden or left
    behind.
    """
    return name.startswith(".") or is_leftover(name)
