"""Every setting, from TOML and environment; frozen, with unknown keys refused."""

import difflib
import ipaddress
import os
import tomllib
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSource

from .errors import SettingsError

_PREFIX = "PACS_AI_"


def _ae_title(value: str) -> str:
    """An AE title is 1 to 16 characters of the default repertoire, without backslash (PS3.5 6.2)."""
    if not 1 <= len(value.strip()) <= 16 or "\\" in value or not value.isascii() or not value.isprintable():
        message = "an AE title has 1 to 16 printable ASCII characters and no backslash"
        raise ValueError(message)
    return value.strip()


def _threshold(value: object) -> float | Literal[""]:
    """A probability, or empty for the operating point of the model card."""
    if value == "":
        return ""
    try:
        threshold = float(str(value))
    except ValueError:
        threshold = -1.0
    if not 0 < threshold < 1:
        message = "a threshold lies between 0 and 1, or is empty for the model card's operating point"
        raise ValueError(message)
    return threshold


AeTitle = Annotated[str, AfterValidator(_ae_title)]
Port = Annotated[int, Field(ge=1, le=65535)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _network(value: str) -> str:
    """An address or a range of addresses in CIDR notation (RFC 4632)."""
    try:
        return str(ipaddress.ip_network(value.strip(), strict=False))
    except ValueError as error:
        message = f"{value!r} is no address and no range such as 10.1.0.0/16"
        raise ValueError(message) from error


AddressRange = Annotated[str, AfterValidator(_network)]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class TlsSettings(_Section):
    """Certificates of the DICOM port, PEM files; without a certificate the port speaks plain DICOM."""

    certificate: str = ""
    key: str = ""
    ca: str = ""
    require_client_certificate: bool = True

    @property
    def is_on(self) -> bool:
        """Whether the port speaks TLS, and nothing else."""
        return bool(self.certificate)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.certificate) != bool(self.key):
            message = "certificate and key belong together: set both, or neither"
            raise ValueError(message)
        if self.ca and not self.certificate:
            message = "ca without certificate and key does not switch TLS on: set them too, or leave ca empty"
            raise ValueError(message)
        if self.certificate and self.require_client_certificate and not self.ca:
            message = "require_client_certificate needs ca, against which the certificates of peers are checked"
            raise ValueError(message)
        return self


class NodeTls(_Section):
    """How a node is spoken to over TLS: what its certificate is checked against, and ours, PEM files."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    verify_hostname: bool = True

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.certificate) != bool(self.key):
            message = "certificate and key belong together: set both, or neither"
            raise ValueError(message)
        return self


class DicomSettings(_Section):
    """The DICOM port."""

    ae_title: AeTitle = "PACS_AI"
    host: str = "0.0.0.0"  # noqa: S104 - a PACS is another machine
    port: Port = 11112
    allowed_calling_ae_titles: tuple[AeTitle, ...] = ()
    allowed_addresses: tuple[AddressRange, ...] = ()
    max_associations: Annotated[int, Field(ge=1)] = 32
    max_associations_per_peer: Annotated[int, Field(ge=1)] = 16
    max_pdu: Annotated[int, Field(ge=4096, le=1 << 24)] = 65536
    max_message_mb: Annotated[int, Field(ge=1, le=2048)] = 512
    idle_seconds: Annotated[float, Field(ge=1, le=3600)] = 300
    tls: TlsSettings = TlsSettings()


class IngestSettings(_Section):
    """What is taken in, and when a study is read."""

    stable_after: Annotated[float, Field(ge=0, le=3600)] = 2.0
    disk_reserve_gb: Annotated[float, Field(ge=0)] = 5.0
    max_megapixels: Annotated[int, Field(ge=1)] = 100
    max_instance_mb: Annotated[int, Field(ge=1)] = 256
    decoder_seconds: Annotated[int, Field(ge=1, le=600)] = 20
    decoder_memory_mb: Annotated[int, Field(ge=64)] = 2048
    readers: Annotated[int, Field(ge=1, le=64)] = 10
    keep_hours: Annotated[float, Field(ge=0, le=876_000)] = 168


class ModelSettings(_Section):
    """Which network reads."""

    path: str = ""
    threshold: Annotated[float | Literal[""], PlainValidator(_threshold)] = ""
    allow_outside_population: bool = False


class ResultSettings(_Section):
    """What is drawn, and whether a study of which nothing could be read has a report that says so."""

    heat_map: Literal["positive", "always", "never"] = "positive"
    report_refusals: bool = True


class WorklistSettings(_Section):
    """When a study is urgent, and how long each level may wait."""

    stat_probability: Annotated[float, Field(gt=0, le=1)] = 0.99
    stat_minutes: Annotated[float, Field(gt=0)] = 60
    high_minutes: Annotated[float, Field(gt=0)] = 240
    routine_minutes: Annotated[float, Field(gt=0)] = 1440


class Node(_Section):
    """A remote AE that results go to."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    ae_title: AeTitle
    host: str
    port: Port
    proof: Literal["none", "commitment", "c-find", "qido"] = "none"
    tls: NodeTls | None = None

    @field_validator("proof")
    @classmethod
    def _not_by_web(cls, value: str) -> str:
        if value == "qido":
            message = 'no DICOMweb in this version: "c-find" asks the same of the DICOM port'
            raise ValueError(message)
        return value


class DeliverySettings(_Section):
    """How long a node is tried."""

    first_retry_seconds: Annotated[float, Field(gt=0)] = 5
    max_retry_seconds: Annotated[float, Field(gt=0)] = 900
    give_up_after_hours: Annotated[float, Field(gt=0)] = 72
    associations: Annotated[int, Field(ge=1, le=16)] = 4
    prove_within_seconds: Annotated[float, Field(gt=0)] = 300
    keep_hours: Annotated[float, Field(ge=0, le=876_000)] = 720


class AuditSettings(_Section):
    """Where ledger and audit log are, and how long events stay."""

    url: str = ""
    keep_days: Annotated[int, Field(ge=1)] = 190


class HttpSettings(_Section):
    """Health and metrics; port 0 is off, like `enabled = false`. Beyond loopback a token is asked for."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    token_env: str = ""

    @property
    def is_on(self) -> bool:
        """Whether the port is opened."""
        return self.enabled and self.port != 0

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if self.is_on and not self.token_env and not _is_loopback(self.host):
            message = "another host than loopback needs token_env, the environment variable that holds the token"
            raise ValueError(message)
        return self


class Settings(BaseSettings):
    """The effective settings: environment before file before default."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=_PREFIX, env_nested_delimiter="__")

    data: Path = Path("pacs-ai-data")
    dicom: DicomSettings = DicomSettings()
    ingest: IngestSettings = IngestSettings()
    model: ModelSettings = ModelSettings()
    results: ResultSettings = ResultSettings()
    worklist: WorklistSettings = WorklistSettings()
    nodes: tuple[Node, ...] = ()
    delivery: DeliverySettings = DeliverySettings()
    audit: AuditSettings = AuditSettings()
    http: HttpSettings = HttpSettings()

    @field_validator("nodes")
    @classmethod
    def _distinct(cls, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        names = [node.name for node in nodes]
        if len(set(names)) != len(names):
            message = "two nodes have the same name"
            raise ValueError(message)
        return nodes

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment wins over what `load_settings` read from the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        assert isinstance(init_settings, InitSettingsSource)
        return env_settings, init_settings


def load_settings(path: Path | None) -> Settings:
    """The settings of a file and the environment; SettingsError with one line for each problem."""
    _check_environment()
    try:
        return Settings(**_read_toml(path))
    except ValidationError as error:
        source = path or "settings"
        raise SettingsError("\n".join(f"{source}: {line}" for line in _problems(error))) from error
    except UnreadableSource as error:
        message = f"environment: {error}; lists such as PACS_AI_NODES are written as JSON"
        raise SettingsError(message) from error


def _check_environment() -> None:
    """A misspelt section in the environment would otherwise be ignored in silence."""
    for name in os.environ:
        section = name.removeprefix(_PREFIX).split("__")[0].lower()
        if name.startswith(_PREFIX) and section not in Settings.model_fields:
            problem = _problem((section,), "extra_forbidden", "")
            message = f"environment variable {name}: {problem}"
            raise SettingsError(message)


def _read_toml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror})"
        raise SettingsError(message) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path}: not TOML: {error}"
        raise SettingsError(message) from error


def _problems(error: ValidationError) -> list[str]:
    return [_problem(tuple(found["loc"]), found["type"], found["msg"]) for found in error.errors()]


def _problem(location: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(str(part) for part in location)
    if kind != "extra_forbidden":
        return f"{key}: {message.removeprefix('Value error, ')}"
    known = _known_keys(location[:-1])
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
    return f"{key}: unknown setting; {hint}"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Settings
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _section_of(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _section_of(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - an annotation can be anything
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, Union, UnionType):
        return next((found for part in get_args(annotation) if (found := _section_of(part))), None)
    return None
