"""timm's pretrained weights from the Hugging Face hub, or its local cache: safetensors only."""

from pathlib import Path

import timm
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

from slipstick.errors import UserError

SUFFIX = ".safetensors"
HTTPError: type[Exception] = HfHubHTTPError.__mro__[1]  # of whichever client this release of the hub's package uses


def pretrained_file(name: str) -> Path:
    """The weights that timm names for a model (``arch`` or ``arch.tag``), downloaded once and then kept.

    Raises UserError when timm names none, when the hub cannot be reached and the file is not in the
    cache, and when the hub has no safetensors of it: nothing is unpickled.
    """
    config = timm.models.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise UserError(f"timm names no pretrained weights of {name!r} on the hub; give --weights FILE")
    repository, _, revision = config.hf_hub_id.partition("@")
    file = Path(config.hf_hub_filename or "model").with_suffix(SUFFIX).name
    try:
        return Path(hf_hub_download(repository, file, revision=revision or None))
    except LocalEntryNotFoundError as error:
        raise UserError(
            f"cannot fetch {repository} from the hub: no network, and it is not in the cache; give --weights FILE"
        ) from error
    except EntryNotFoundError as error:
        raise UserError(
            f"{repository} on the hub has no {file}, and pickles are refused; give --weights FILE"
        ) from error
    except (HTTPError, OSError) as error:
        raise UserError(
            f"cannot fetch {repository} from the hub ({str(error).splitlines()[0]}); give --weights FILE"
        ) from error
