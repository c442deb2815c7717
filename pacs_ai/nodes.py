"""The nodes of the settings: remote AEs, which results go to over DIMSE, and services that take them over DICOMweb."""

import ipaddress
import os
import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from .errors import SettingsError

_RESERVED = "PACS_AI_"
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")  # RFC 3986 2
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_NO_HOST = re.compile(r"[\s\x00-\x1f\x7f\\/:@?#\[\]]")
_LONGEST_HOST = 253  # RFC 1035 2.3.4, as it is written with dots


def ae_title(value: str) -> str:
    """An AE title is 1 to 16 characters of the default repertoire, without backslash (PS3.5 6.2); raises ValueError."""
    if not 1 <= len(value.strip()) <= 16 or "\\" in value or not value.isascii() or not value.isprintable():
        message = "an AE title has 1 to 16 printable ASCII characters and no backslash"
        raise ValueError(message)
    return value.strip()


def host_name(value: str) -> str:
    """An IP address, or a name that can be looked up; raises ValueError.

    A name that cannot be written for the DNS is an error of another kind each time that somebody is called by it.
    """
    if is_address(value):
        return value
    try:
        is_name = 0 < len(value.encode("idna")) <= _LONGEST_HOST  # refuses an empty label, or one over 63 characters
    except UnicodeError:
        is_name = False
    if not is_name or _NO_HOST.search(value):
        message = (
            "a host is an IP address, or a name of 253 characters at most whose parts between the dots have 1 to 63; "
            "no port stands in it"
        )
        raise ValueError(message)
    return value


def is_address(host: str) -> bool:
    """Whether it is an IP address, of version 4 or 6."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _listening_host(value: str) -> str:
    """As a host; empty for every address of this machine."""
    return host_name(value) if value else value


def _node_name(value: str) -> str:
    """A name as the audit log lists several of them, parted by commas."""
    if "," in value or value != value.strip() or not value.isprintable():
        message = "the name of a node has no comma, no control character, and no space before or behind it"
        raise ValueError(message)
    return value


def _url(value: str) -> str:
    """The base of a DICOMweb service, without a slash behind; nothing secret may stand in it."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _URL.fullmatch(value):
        message = "the address of a DICOMweb service begins with https:// (or http://) and a host"
        raise ValueError(message)
    if parts.username is not None or parts.query or parts.fragment:
        message = "no user, password, query or fragment stands in url; a token is read from the variable of token_env"
        raise ValueError(message)
    if parts.port == 0:
        message = "0 is no port"
        raise ValueError(message)
    host_name(parts.hostname)
    return value.rstrip("/")


def _variable(value: str) -> str:
    """The name of an environment variable, or empty."""
    if value and not _VARIABLE.fullmatch(value):
        message = "token_env names an environment variable; the token never stands in the file"
        raise ValueError(message)
    if value.upper().startswith(_RESERVED):
        message = f"variables that begin with {_RESERVED} are settings; choose another name"
        raise ValueError(message)
    return value


def must_belong_together(certificate: str, key: str) -> None:
    """Raises ValueError where one is set without the other."""
    if bool(certificate) != bool(key):
        message = "certificate and key belong together: set both, or neither"
        raise ValueError(message)


AeTitle = Annotated[str, AfterValidator(ae_title)]
Port = Annotated[int, Field(ge=1, le=65535)]
HostName = Annotated[str, AfterValidator(host_name)]
ListeningHost = Annotated[str, AfterValidator(_listening_host)]
NodeName = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_node_name)]
VariableName = Annotated[str, AfterValidator(_variable)]


class Section(BaseModel):
    """Frozen, with unknown keys refused."""

    # A value that is refused may be a token that somebody has put in the wrong place.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class NodeTls(Section):
    """How a node is spoken to over TLS: what its certificate is checked against, and ours, PEM files."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    verify_hostname: bool = True

    @model_validator(mode="after")
    def _complete(self) -> Self:
        must_belong_together(self.certificate, self.key)
        return self


class Node(Section):
    """A remote AE that results go to."""

    name: NodeName
    ae_title: AeTitle
    host: HostName
    port: Port
    proof: Literal["none", "commitment", "c-find", "qido"] = "none"
    tls: NodeTls | None = None

    @field_validator("proof")
    @classmethod
    def _not_by_web(cls, value: str) -> str:
        if value == "qido":
            message = '"qido" asks a node that has a url; "c-find" asks the same of the DICOM port'
            raise ValueError(message)
        return value

    @property
    def address(self) -> str:
        """The node as log lines name it."""
        return f"{self.ae_title}@{self.host}:{self.port}"


class WebNode(Section):
    """A service that results go to by STOW-RS; `max_request_mb` is how much is sent to it in one request."""

    name: NodeName
    url: Annotated[str, AfterValidator(_url)]
    proof: Literal["none", "qido", "commitment", "c-find"] = "none"
    token_env: VariableName = ""
    max_request_mb: Annotated[int, Field(ge=1, le=2048)] = 32
    tls: NodeTls | None = None

    @field_validator("proof")
    @classmethod
    def _not_by_dimse(cls, value: str) -> str:
        if value not in ("none", "qido"):
            message = f'"{value}" asks a DICOM port; a node that has a url is asked by "qido"'
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _tls_needs_https(self) -> Self:
        if self.tls is not None and not self.is_encrypted:
            message = "tls needs a url that begins with https://"
            raise ValueError(message)
        return self

    @property
    def address(self) -> str:
        """The node as log lines name it."""
        return self.url

    @property
    def is_encrypted(self) -> bool:
        """Whether the node is spoken to over TLS."""
        return self.url.startswith("https://")


def _either_kind(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    """Each node is judged as what its keys say it is, so that a mistake in it is said once."""
    if not isinstance(value, dict):
        return value
    by_dimse = [key for key in ("ae_title", "host", "port") if key in value]
    if "url" in value and by_dimse:
        message = f"a node has either url (DICOMweb) or ae_title, host and port (DIMSE), and not url and {by_dimse[0]}"
        raise ValueError(message)
    if "url" not in value and not by_dimse:
        message = "a node has ae_title, host and port (DIMSE), or the url of a DICOMweb service"
        raise ValueError(message)
    return (WebNode if "url" in value else Node).model_validate(value)


NodeOfEitherKind = Annotated[Node | WebNode, BeforeValidator(_either_kind)]


def token_of(node: WebNode) -> str | None:
    """The bearer token of a node (RFC 6750), None where it has none; SettingsError, which does not tell it."""
    if not node.token_env:
        return None
    return bearer_token(node.token_env, os.environ.get(node.token_env))


def bearer_token(variable: str, value: str | None) -> str:
    """The token that an environment variable holds, without the white space around it; SettingsError for none."""
    token = (value or "").strip()
    if not token:
        message = f"token_env: the environment variable {variable} is not set, or empty"
        raise SettingsError(message)
    if not _TOKEN.fullmatch(token):
        message = f"token_env: what the environment variable {variable} holds is no bearer token"
        raise SettingsError(message)
    return token


def token_problems(nodes: tuple[Node | WebNode, ...]) -> list[str]:
    """What is wrong with the tokens of nodes, one line for each."""
    problems = []
    for number, node in enumerate(nodes):
        try:
            if isinstance(node, WebNode):
                token_of(node)
        except SettingsError as error:
            problems.append(f"nodes.{number}.{error}")
    return problems
