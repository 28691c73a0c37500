"""Files that desktops, NAS boxes, archivers and file systems leave in folders: never input.

The only list of them, used for picture folders and to decide whether an output folder is empty.
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
# Streams that Windows and Synology keep next to a file, copied to another file system.
_SUFFIXES = (":zone.identifier", "@synoeastream", "@synoresource")


def is_leftover(name: str) -> bool:
    """Whether a system left this file or folder; `name` is without parent folders."""
    lower = name.lower()
    return lower in _NAMES or lower.startswith(_PREFIXES) or lower.endswith(_SUFFIXES)


def is_passed_over(name: str) -> bool:
    """Whether an input file or folder is skipped without a warning: hidden, or left by a system."""
    return name.startswith(".") or is_leftover(name)
