"""Every setting, from TOML and environment; frozen, with unknown keys refused."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from .nodes import (
    AeTitle,
    ListeningHost,
    Node,
    NodeOfEitherKind,
    NodeTls,
    Port,
    Section,
    VariableName,
    WebNode,
    host_name,
    must_belong_together,
)

__all__ = ["DicomSettings", "Node", "NodeTls", "Settings", "WebNode"]

PREFIX = "PACS_AI_"
# In seconds: more is no duration that a calendar can add to a date.
_CENTURY = 876_000 * 3600


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


def _network(value: str) -> str:
    """An address or a range of addresses in CIDR notation (RFC 4632)."""
    try:
        return str(ipaddress.ip_network(value.strip(), strict=False))
    except ValueError as error:
        message = f"{value!r} is no address and no range such as 10.1.0.0/16"
        raise ValueError(message) from error


AddressRange = Annotated[str, AfterValidator(_network)]


def _repository(value: str) -> str:
    """A host and a port, or empty; an address of IPv6 stands in brackets."""
    if not value:
        return value
    host, _, port = value.rpartition(":")
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
        message = "an audit record repository is host:port, with a port from 1 to 65535"
        raise ValueError(message)
    host_name(_without_brackets(host))
    return value


def _without_brackets(host: str) -> str:
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _database(value: str) -> str:
    """The URL of a database, or empty; one that is refused is not repeated, for a password stands in it."""
    if not value:
        return value
    from pacs_ai_storage.urls import is_database_url  # noqa: PLC0415 - SQLite in `data` needs no URL

    if not is_database_url(value):
        message = (
            "no database that is known here: write postgresql+psycopg://user@host/name (postgres:// is not known to "
            "SQLAlchemy), or leave it empty for SQLite in `data`"
        )
        raise ValueError(message)
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class TlsSettings(Section):
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
        must_belong_together(self.certificate, self.key)
        if self.ca and not self.certificate:
            message = "ca without certificate and key does not switch TLS on: set them too, or leave ca empty"
            raise ValueError(message)
        if self.certificate and self.require_client_certificate and not self.ca:
            message = "require_client_certificate needs ca, against which the certificates of peers are checked"
            raise ValueError(message)
        return self


class DicomSettings(Section):
    """The DICOM port."""

    ae_title: AeTitle = "PACS_AI"
    host: ListeningHost = "0.0.0.0"  # noqa: S104 - a PACS is another machine
    port: Port = 11112
    allowed_calling_ae_titles: tuple[AeTitle, ...] = ()
    allowed_addresses: tuple[AddressRange, ...] = ()
    max_associations: Annotated[int, Field(ge=1)] = 32
    max_associations_per_peer: Annotated[int, Field(ge=1)] = 16
    max_pdu: Annotated[int, Field(ge=4096, le=1 << 24)] = 65536
    max_message_mb: Annotated[int, Field(ge=1, le=2048)] = 512
    idle_seconds: Annotated[float, Field(ge=1, le=3600)] = 300
    tls: TlsSettings = TlsSettings()


class IngestSettings(Section):
    """What is taken in, and when a study is read."""

    stable_after: Annotated[float, Field(ge=0, le=3600)] = 2.0
    disk_reserve_gb: Annotated[float, Field(ge=0)] = 5.0
    max_megapixels: Annotated[int, Field(ge=1)] = 100
    max_instance_mb: Annotated[int, Field(ge=1)] = 256
    decoder_seconds: Annotated[int, Field(ge=1, le=600)] = 20
    decoder_memory_mb: Annotated[int, Field(ge=64)] = 2048
    readers: Annotated[int, Field(ge=1, le=64)] = 10
    keep_hours: Annotated[float, Field(ge=0, le=_CENTURY // 3600)] = 168


class ModelSettings(Section):
    """Which network reads."""

    path: str = ""
    threshold: Annotated[float | Literal[""], PlainValidator(_threshold)] = ""
    allow_outside_population: bool = False


class ResultSettings(Section):
    """What is drawn, and whether a study of which nothing could be read has a report that says so."""

    heat_map: Literal["positive", "always", "never"] = "positive"
    report_refusals: bool = True


class WorklistSettings(Section):
    """When a study is urgent, and how long each level may wait."""

    stat_probability: Annotated[float, Field(gt=0, le=1)] = 0.99
    stat_minutes: Annotated[float, Field(gt=0, le=_CENTURY // 60)] = 60
    high_minutes: Annotated[float, Field(gt=0, le=_CENTURY // 60)] = 240
    routine_minutes: Annotated[float, Field(gt=0, le=_CENTURY // 60)] = 1440


class DeliverySettings(Section):
    """How long a node is tried."""

    first_retry_seconds: Annotated[float, Field(gt=0, le=_CENTURY)] = 5
    max_retry_seconds: Annotated[float, Field(gt=0, le=_CENTURY)] = 900
    give_up_after_hours: Annotated[float, Field(gt=0, le=_CENTURY // 3600)] = 72
    associations: Annotated[int, Field(ge=1, le=16)] = 4
    prove_within_seconds: Annotated[float, Field(gt=0, le=_CENTURY)] = 300
    keep_hours: Annotated[float, Field(ge=0, le=_CENTURY // 3600)] = 720


class AtnaSettings(NodeTls):
    """The audit record repository (PS3.15 A.5) that has our audit messages; without an address there is none."""

    address: Annotated[str, AfterValidator(_repository)] = ""
    transport: Literal["tls", "udp"] = "tls"
    source: str = ""

    @property
    def is_on(self) -> bool:
        """Whether messages are sent."""
        return bool(self.address)

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The parts of the address."""
        host, _, port = self.address.rpartition(":")
        return _without_brackets(host), int(port)

    @property
    def tls(self) -> NodeTls | None:
        """How the repository is spoken to; None over UDP."""
        return None if self.transport == "udp" else self


class AuditSettings(Section):
    """Where ledger and audit log are, how long events stay, and who else has them."""

    url: Annotated[str, AfterValidator(_database)] = ""
    keep_days: Annotated[int, Field(ge=1, le=_CENTURY // 86400)] = 190
    atna: AtnaSettings = AtnaSettings()


class HttpSettings(Section):
    """Pages, API, health and metrics; port 0 is off, like `enabled = false`. Beyond loopback a token is asked for."""

    enabled: bool = True
    host: ListeningHost = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    token_env: VariableName = ""

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

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    data: Path = Path("pacs-ai-data")
    dicom: DicomSettings = DicomSettings()
    ingest: IngestSettings = IngestSettings()
    model: ModelSettings = ModelSettings()
    results: ResultSettings = ResultSettings()
    worklist: WorklistSettings = WorklistSettings()
    nodes: tuple[NodeOfEitherKind, ...] = ()
    delivery: DeliverySettings = DeliverySettings()
    audit: AuditSettings = AuditSettings()
    http: HttpSettings = HttpSettings()

    @field_validator("nodes")
    @classmethod
    def _distinct(cls, nodes: tuple[Node | WebNode, ...]) -> tuple[Node | WebNode, ...]:
        names = [node.name for node in nodes]
        if len(set(names)) != len(names):
            message = "two nodes have the same name"
            raise ValueError(message)
        return nodes

    @model_validator(mode="after")
    def _ports_of_their_own(self) -> Self:
        if self.http.is_on and self.http.port == self.dicom.port:
            message = f"dicom.port and http.port are both {self.dicom.port}: each needs a port of its own"
            raise ValueError(message)
        return self

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
