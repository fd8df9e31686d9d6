"""Checkpoints from the Hugging Face hub, by their id: `SakanaAI/ctm-imagenet`."""

import re
from pathlib import Path

from ctm.errors import CheckpointError, first_line
from ctm.models.weights import CONFIG, WEIGHTS

ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_id(source: str) -> bool:
    """Whether it could be one: an owner and a name."""
    return ID.fullmatch(source) is not None


def fetched(
    name: str, *, revision: str | None = None, token: str | None = None, offline: bool = False
) -> Path:
    """The folder of a checkpoint in huggingface_hub's cache, fetched if it isn't there.

    Args:
        revision: branch, tag or commit; None: main.
        token: of an account that may read it; None: the one that is logged in, if any.
        offline: takes what the cache holds.

    Raises:
        CheckpointError: no such checkpoint or revision, no right to it, or no network.
    """
    from huggingface_hub import hf_hub_download  # a network's client: seconds to import
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def file(part: str) -> Path:
        found = hf_hub_download(
            name, part, revision=revision, token=token, local_files_only=offline
        )
        return Path(found)

    where = name if revision is None else f"{name}@{revision}"
    try:
        file(WEIGHTS)
        return file(CONFIG).parent
    except LocalEntryNotFoundError:
        wanted = "fetch it once without offline" if offline else "check the network"
        raise CheckpointError(
            f"{where}: no such folder here, and not in the cache of the hub; {wanted}"
        ) from None
    except GatedRepoError:
        raise CheckpointError(
            f"{where}: its owner asks for your consent; give it on its page, then pass token=..."
        ) from None
    except RepositoryNotFoundError:
        raise CheckpointError(
            f"{where}: no such folder here, and none that the hub shows you; want a folder, a "
            "file, or the id of a checkpoint (a private one: pass token=...)"
        ) from None
    except RevisionNotFoundError:
        raise CheckpointError(f"{where}: no such revision on the hub") from None
    except EntryNotFoundError:
        raise CheckpointError(f"{where}: on the hub, but has no {CONFIG} and {WEIGHTS}") from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise CheckpointError(f"{where}: not to be had from the hub: {first_line(error)}") from None
