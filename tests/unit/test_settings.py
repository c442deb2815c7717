"""Settings: environment before file before default, and every problem said at once."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pacs_ai.errors import SettingsError
from pacs_ai.nodes import token_problems
from pacs_ai.settings import AtnaSettings, HttpSettings, Node, Settings, WebNode
from pacs_ai.settings_file import load_settings

SHIPPED = Path(__file__).parents[2] / "config" / "pacs-ai.toml"
WEB_NODE = '[[nodes]]\nname = "web"\nurl = "https://pacs/dicom-web/"\n'
VARIABLE = "ARCHIVE_TOKEN"
NODE = '[[nodes]]\nname = "{name}"\nae_title = "ORTHANC"\nhost = "127.0.0.1"\nport = 4242\n'


@pytest.fixture
def problems(tmp_path: Path) -> Any:
    def of(content: str) -> list[str]:
        path = tmp_path / "pacs-ai.toml"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(SettingsError) as caught:
            load_settings(path)
        return [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]

    return of


@pytest.fixture
def documented() -> dict[str, Any]:
    """The shipped file with its example nodes in force."""
    content = SHIPPED.read_text(encoding="utf-8")
    return tomllib.loads(re.sub(r"^# (\[\[nodes\]\]|\w+ = )", r"\1", content, flags=re.MULTILINE))


def written(folder: Path, content: str) -> Path:
    path = folder / "pacs-ai.toml"
    path.write_text(content, encoding="utf-8")
    return path


def test_without_a_file_every_setting_has_its_default() -> None:
    settings = load_settings(None)

    assert (settings.dicom.ae_title, settings.dicom.port) == ("PACS_AI", 11112)
    assert settings.nodes == ()


def test_the_file_wins_over_the_default_and_the_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, '[dicom]\nae_title = "FILE"\nport = 104\n')
    monkeypatch.setenv("PACS_AI_DICOM__PORT", "11113")

    settings = load_settings(path)

    assert (settings.dicom.ae_title, settings.dicom.port, settings.dicom.max_pdu) == ("FILE", 11113, 65536)


def test_nodes_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_AI_NODES", '[{"name": "pacs", "ae_title": "ORTHANC", "host": "pacs", "port": 4242}]')

    assert load_settings(None).nodes == (Node(name="pacs", ae_title="ORTHANC", host="pacs", port=4242),)


def test_an_environment_value_that_is_not_json_is_a_problem_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_AI_NODES", "pacs")

    with pytest.raises(SettingsError, match="PACS_AI_NODES"):
        load_settings(None)


def test_settings_cannot_be_changed() -> None:
    settings = load_settings(None)

    with pytest.raises(ValidationError, match="frozen"):
        settings.dicom.port = 104


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[dicom]\nprot = 104", "dicom.prot: unknown setting; did you mean 'port'?"),
        ("[dicmo]\nport = 104", "dicmo: unknown setting; did you mean 'dicom'?"),
        ('[dicom.tls]\ncertificat = "a.pem"', "dicom.tls.certificat: unknown setting; did you mean 'certificate'?"),
        (NODE.format(name="pacs") + "tls = { kye = 'x' }", "nodes.0.tls.kye: unknown setting; did you mean 'key'?"),
        (NODE.format(name="pacs") + "prot = 1", "nodes.0.prot: unknown setting; did you mean 'port'?"),
        ("[audit]\nxyzzy = 1", "audit.xyzzy: unknown setting; known here: atna, keep_days, url"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(content: str, expected: str, problems: Any) -> None:
    assert expected in problems(content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('[nodes]\nname = "pacs"', "nodes: a list is wanted here; each node begins with [[nodes]]"),
        ('[dicom]\nallowed_addresses = "10.0.0.1"', "dicom.allowed_addresses: a list is wanted here"),
        ("dicom = 11112", "dicom: a section is wanted here"),
        ("[dicom]\ntls = true", "dicom.tls: a section is wanted here"),
        ("data = 5", "data: a path between quotation marks is wanted here"),
        (NODE.format(name="pacs") + "tls = true", "nodes.0.tls: a section is wanted here"),
    ],
)
def test_a_value_of_another_shape_is_refused_in_words_of_the_file(content: str, expected: str, problems: Any) -> None:
    assert expected in problems(content)


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("audit", "keep_days"),
        ("delivery", "give_up_after_hours"),
        ("delivery", "keep_hours"),
        ("delivery", "max_retry_seconds"),
        ("delivery", "prove_within_seconds"),
        ("ingest", "keep_hours"),
        ("worklist", "routine_minutes"),
    ],
)
def test_a_duration_beyond_every_calendar_is_refused(section: str, key: str, problems: Any) -> None:
    (problem,) = problems(f"[{section}]\n{key} = 99999999999")

    assert problem.startswith(f"{section}.{key}: ")


@pytest.mark.parametrize("name", ["PACS_AI_DICOM__ALLOWED_CALLING_AE_TITLES", "PACS_AI_NODES", "PACS_AI_HTTP"])
def test_a_list_of_the_environment_that_is_no_json_is_told_by_its_variable(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACS_AI_DICOM__AE_TITLE", "READER")
    monkeypatch.setenv(name, "MODX")

    with pytest.raises(SettingsError, match=rf"^environment variable {name}: lists and sections are written as JSON"):
        load_settings(None)


def test_an_unknown_key_of_the_environment_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_AI_DICOM__PROT", "104")

    said = r"^environment variable PACS_AI_DICOM__PROT: dicom\.prot: unknown setting; did you mean 'port'"
    with pytest.raises(SettingsError, match=said):
        load_settings(None)


def test_a_wrong_value_of_the_environment_is_not_blamed_on_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PACS_AI_DICOM__PORT", "abc")

    with pytest.raises(SettingsError, match=r"^environment variable PACS_AI_DICOM__PORT: dicom\.port: "):
        load_settings(written(tmp_path, "[dicom]\nport = 11113"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[dicom]\nport = 8080", "settings: dicom.port and http.port are both 8080: each needs a port of its own"),
        ("[ingest]\ndisk_reserve_gb = inf", "ingest.disk_reserve_gb: Input should be a finite number"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(content: str, expected: str, problems: Any) -> None:
    assert expected in problems(content)


def test_every_problem_is_said_at_once_with_its_key(problems: Any) -> None:
    content = 'dta = "x"\n[dicom]\nport = 0\nae_title = ""\n[ingest]\nstable_after = "soon"\n[http]\nprot = 1'

    found = [line.split(":")[0] for line in problems(content)]

    assert sorted(found) == ["dicom.ae_title", "dicom.port", "dta", "http.prot", "ingest.stable_after"]


@pytest.mark.parametrize("value", ['"high"', "0", "1", "1.5", "-0.1"])
def test_a_threshold_outside_its_bounds_is_one_problem(value: str, problems: Any) -> None:
    (problem,) = problems(f"[model]\nthreshold = {value}")

    assert problem.startswith("model.threshold: ")


@pytest.mark.parametrize(("value", "expected"), [('""', ""), ("0.41", 0.41)])
def test_a_threshold_is_a_probability_or_that_of_the_card(value: str, expected: float | str, tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, f"[model]\nthreshold = {value}")).model.threshold == expected


def test_a_threshold_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_AI_MODEL__THRESHOLD", "0.41")

    assert load_settings(None).model.threshold == pytest.approx(0.41)


@pytest.mark.parametrize("title", ["", "    ", "SEVENTEEN_LETTERS", "BACK\\\\SLASH", "TÜR", "TAB\\tTAB"])
def test_what_is_no_ae_title_is_refused(title: str, problems: Any) -> None:
    (problem,) = problems(f'[dicom]\nae_title = "{title}"')

    assert problem == "dicom.ae_title: an AE title has 1 to 16 printable ASCII characters and no backslash"


@pytest.mark.parametrize(
    ("title", "expected"), [("X", "X"), ("SIXTEEN_LETTERS_", "SIXTEEN_LETTERS_"), (" CR 1 ", "CR 1")]
)
def test_an_ae_title_is_taken_without_the_spaces_around_it(title: str, expected: str, tmp_path: Path) -> None:
    path = written(tmp_path, f'[dicom]\nae_title = "{title}"\nallowed_calling_ae_titles = ["{title}"]')

    settings = load_settings(path)

    assert (settings.dicom.ae_title, settings.dicom.allowed_calling_ae_titles) == (expected, (expected,))


def test_two_nodes_of_one_name_are_refused(problems: Any) -> None:
    (problem,) = problems(NODE.format(name="pacs") * 2)

    assert problem == "nodes: two nodes have the same name"


@pytest.mark.parametrize("name", ["pacs,archive", " pacs", "pacs ", "pa\\ncs"])
def test_a_name_that_the_audit_log_cannot_list_beside_others_is_refused(name: str, problems: Any) -> None:
    (problem,) = problems(NODE.format(name=name))

    assert problem == (
        "nodes.0.name: the name of a node has no comma, no control character, and no space before or behind it"
    )


def test_nodes_of_different_names_stand_in_their_order(tmp_path: Path) -> None:
    path = written(tmp_path, NODE.format(name="pacs") + NODE.format(name="archive"))

    assert [node.name for node in load_settings(path).nodes] == ["pacs", "archive"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            NODE.format(name="pacs") + 'url = "https://pacs/dicom-web"',
            "nodes.0: a node has either url (DICOMweb) or ae_title, host and port (DIMSE), and not url and ae_title",
        ),
        (
            '[[nodes]]\nname = "pacs"',
            "nodes.0: a node has ae_title, host and port (DIMSE), or the url of a DICOMweb service",
        ),
        (
            NODE.format(name="pacs") + 'proof = "qido"',
            'nodes.0.proof: "qido" asks a node that has a url; "c-find" asks the same of the DICOM port',
        ),
        (
            WEB_NODE + 'proof = "c-find"',
            'nodes.0.proof: "c-find" asks a DICOM port; a node that has a url is asked by "qido"',
        ),
        (
            WEB_NODE + 'proof = "commitment"',
            'nodes.0.proof: "commitment" asks a DICOM port; a node that has a url is asked by "qido"',
        ),
        (WEB_NODE + "tokn_env = 'X'", "nodes.0.tokn_env: unknown setting; did you mean 'token_env'?"),
        (
            WEB_NODE + "token_env = 'eyJhbGciOi.JIUzI1'",
            "nodes.0.token_env: token_env names an environment variable; the token never stands in the file",
        ),
        (
            WEB_NODE + "token_env = 'PACS_AI_TOKEN'",
            "nodes.0.token_env: variables that begin with PACS_AI_ are settings; choose another name",
        ),
        (
            WEB_NODE.replace("https", "http") + "tls = { ca = 'ca.pem' }",
            "nodes.0: tls needs a url that begins with https://",
        ),
    ],
)
def test_a_node_is_spoken_to_in_one_way_and_proves_in_that_way(content: str, expected: str, problems: Any) -> None:
    assert problems(content) == [expected]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pacs/dicom-web",
        "ftp://pacs",
        "https://",
        "https://user:secret@pacs",
        "https://pacs/?key=secret",
        "https://pacs:0",
        "https://pa cs",
        "https://pacs:99999",
        "https://pa\u00e7s",
    ],
)
def test_what_is_no_address_or_holds_a_secret_is_refused_and_not_repeated(url: str, problems: Any) -> None:
    (problem,) = problems(f'[[nodes]]\nname = "pacs"\nurl = "{url}"')

    assert problem.startswith("nodes.0.url: ")
    assert "secret" not in problem


LONG = ".".join(["abcdefghi"] * 26)


@pytest.mark.parametrize("host", ["a..b", ".pacs", "pa cs", "pacs:104", "http://pacs", "x" * 64, LONG])
@pytest.mark.parametrize(
    ("key", "content"),
    [
        ("nodes.0.host", '[[nodes]]\nname = "pacs"\nae_title = "ORTHANC"\nport = 104\nhost = "{host}"'),
        ("audit.atna.address", '[audit.atna]\naddress = "{host}:514"'),
        ("dicom.host", '[dicom]\nhost = "{host}"'),
        ("http.host", '[http]\nhost = "{host}"\ntoken_env = "TOKEN"'),
    ],
)
def test_a_host_that_cannot_be_looked_up_is_refused(host: str, key: str, content: str, problems: Any) -> None:
    (problem,) = problems(content.format(host=host))

    assert problem.startswith(f"{key}: a host is an IP address, or a name of 253 characters at most")


@pytest.mark.parametrize("host", ["", "[::1]"])
def test_a_node_has_a_host_without_brackets(host: str, problems: Any) -> None:
    (problem,) = problems(NODE.format(name="pacs").replace("127.0.0.1", host))

    assert problem.startswith("nodes.0.host: a host is ")


def test_a_web_node_of_an_impossible_host_is_refused(problems: Any) -> None:
    (problem,) = problems('[[nodes]]\nname = "pacs"\nurl = "https://pacs..example/dicom-web"')

    assert problem.startswith("nodes.0.url: a host is ")


@pytest.mark.parametrize(
    "host", ["pacs", "pacs.example.", "127.0.0.1", "::1", "fe80::1%eth0", "pacs_1", "röntgen.example", "x" * 63]
)
def test_addresses_and_names_are_hosts(host: str) -> None:
    assert Node(name="pacs", ae_title="ORTHANC", host=host, port=104).host == host
    assert AtnaSettings(address=f"[{host}]:514" if ":" in host else f"{host}:514").host_and_port == (host, 514)


@pytest.mark.parametrize("address", ["audit.example", "audit.example:99999", "audit.example:0", "audit.example:", ":x"])
def test_an_audit_record_repository_needs_a_port_that_can_be(address: str, problems: Any) -> None:
    (problem,) = problems(f'[audit.atna]\naddress = "{address}"')

    assert problem == "audit.atna.address: an audit record repository is host:port, with a port from 1 to 65535"


@pytest.mark.parametrize(
    "url",
    [
        "postgres://reader:s3cret@host/name",
        "postgresql:/reader:s3cret@host/name",
        "postgresql+psycopg2://reader:s3cret@host/name",
        "postgresql+psycopg://reader:s3cret@host:port/name",
        "nosuch://reader:s3cret@host/name",
        "not a URL s3cret",
    ],
)
def test_a_url_of_no_known_database_is_refused_and_not_repeated(url: str, problems: Any) -> None:
    (problem,) = problems(f'[audit]\nurl = "{url}"')

    assert problem.startswith("audit.url: no database that is known here: write postgresql+psycopg://user@host/name ")
    assert "s3cret" not in problem


@pytest.mark.parametrize("url", ["", "sqlite:////data/ledger.sqlite", "postgresql+psycopg://reader:s3cret@host/name"])
def test_sqlite_and_postgresql_are_known_databases(url: str) -> None:
    assert Settings(audit={"url": url}).audit.url == url


def test_a_web_node_needs_no_more_than_its_address(tmp_path: Path) -> None:
    (node,) = load_settings(written(tmp_path, WEB_NODE)).nodes

    assert node == WebNode(name="web", url="https://pacs/dicom-web")
    assert node.proof == "none"


@pytest.mark.parametrize("value", [None, "", "   ", "two words", "line\nbreak", "t\u00f6ken"])
def test_a_token_that_is_missing_or_none_is_a_problem_that_does_not_tell_it(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    node = WebNode(name="web", url="https://pacs", token_env=VARIABLE)

    (problem,) = token_problems((Node(name="pacs", ae_title="PACS", host="pacs", port=104), node))

    assert problem.startswith("nodes.1.token_env: ")
    assert VARIABLE in problem
    assert not (value or "").strip() or str(value) not in problem


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('[dicom.tls]\ncertificate = "a.pem"', "dicom.tls: certificate and key belong together: set both, or neither"),
        (
            '[dicom.tls]\ncertificate = "a.pem"\nkey = "a.key"',
            "dicom.tls: require_client_certificate needs ca, against which the certificates of peers are checked",
        ),
        (
            '[dicom.tls]\nca = "ca.pem"',
            "dicom.tls: ca without certificate and key does not switch TLS on: set them too, or leave ca empty",
        ),
        (
            NODE.format(name="pacs") + 'tls = { key = "a.key" }',
            "nodes.0.tls: certificate and key belong together: set both, or neither",
        ),
        (
            '[dicom]\nallowed_addresses = ["10.1.0.0/33"]',
            "dicom.allowed_addresses.0: '10.1.0.0/33' is no address and no range such as 10.1.0.0/16",
        ),
    ],
)
def test_half_a_door_is_refused(content: str, expected: str, problems: Any) -> None:
    assert problems(content) == [expected]


def test_a_file_that_is_not_there_or_not_toml_is_a_problem_of_the_settings(tmp_path: Path, problems: Any) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "missing.toml")

    assert "not TOML" in problems("[dicom")[0]


def test_the_shipped_file_is_the_default() -> None:
    assert load_settings(SHIPPED) == Settings()


def test_the_shipped_file_has_every_setting(documented: dict[str, Any]) -> None:
    node, web_node = documented.pop("nodes")
    defaults = Settings().model_dump(exclude={"nodes"})

    assert keys(documented) == keys(defaults)
    assert set(node) == set(Node.model_fields)
    assert set(web_node) == set(WebNode.model_fields)
    assert Node(**node).proof == Node.model_fields["proof"].default
    assert WebNode(**web_node).max_request_mb == WebNode.model_fields["max_request_mb"].default


def keys(document: dict[str, Any]) -> set[str]:
    """The dotted names of every setting."""
    inner = {name: keys(value) if isinstance(value, dict) else set() for name, value in document.items()}
    return set(inner) | {f"{name}.{key}" for name, found in inner.items() for key in found}


def test_the_http_port_is_on_loopback_unless_a_token_is_named(problems: Any) -> None:
    assert "needs token_env" in problems('[http]\nhost = "0.0.0.0"')[0]
    assert HttpSettings(host="0.0.0.0", token_env="TOKEN").is_on  # noqa: S104, S106 - asked for on purpose; a name
    assert not HttpSettings(port=0).is_on
    assert not HttpSettings(enabled=False).is_on
