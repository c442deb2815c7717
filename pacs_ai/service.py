"""The composition root: everything is built here once, runs in threads, and stops together."""

import errno
import logging
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from pacs_ai_storage.database import LedgerUnavailable
from pacs_ai_storage.occupancy import Occupancy

from .delivery import RetryPolicy
from .dicomweb.sender import WebSender
from .dimse.alerts import Alerts
from .dimse.commitment import CommitmentReport
from .dimse.commitment_scp import CommitmentScp
from .dimse.listener import Listener, listen
from .dimse.refusals import Refusals
from .dimse.sender import Sender
from .errors import DecoderUnavailable, PacsAiError, SettingsError
from .findings import Classifier
from .imaging.opener import FilmOpener
from .inference.card import ModelCard, read_card, verify
from .keeping import Keeping
from .nodes import token_problems
from .persistence import Persistence
from .policies import priority_policy
from .process import Reader, deliver_results
from .provenance import in_words
from .proving import MOST_AT_ONCE, Prover, note_report
from .readers import Readers
from .reading import build_reader, film_opener, load_for_service
from .settings import Node, Settings, WebNode
from .stores import Stores, make_data_folder, now, open_stores
from .taking_up import take_up
from .tally import Tally
from .telling import Telling
from .terms import claim_terms, owner_of, proof_policy, retry_policy
from .tls import certificate_problems
from .web.server import WebServer, token_of

if TYPE_CHECKING:
    from starlette.applications import Starlette

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_NETWORK_NICE = 10
_PROOF_SECONDS = 1.0
_PAUSE_BETWEEN_PORTIONS = 1.0
_KEEPING_SECONDS = 60.0
_TELLING_SECONDS = 1.0


def _step_back() -> None:
    """Threads that this one begins, those of the network among them, leave the processor to whoever receives.

    Linux knows a priority for each thread; elsewhere nothing changes.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NETWORK_NICE)


def _occupied(settings: Settings) -> tuple[Occupancy, Stores]:
    make_data_folder(settings.data)
    occupancy = Occupancy(settings.data)
    with ExitStack() as in_trouble:
        in_trouble.callback(occupancy.leave)
        stores = open_stores(settings)
        stores.database.open_together()
        stores.instances.sweep()  # nobody else is writing here: the folder is ours
        in_trouble.pop_all()
    return occupancy, stores


class Service:
    """Listener, readers and one delivery thread for each node. `start` returns once instances are accepted."""

    def __init__(
        self,
        settings: Settings,
        *,
        load: Callable[[Settings, ModelCard], Classifier] = load_for_service,
        port: int | None = None,
        http_port: int | None = None,
    ) -> None:
        self._settings = settings
        problems = [*certificate_problems(settings), *token_problems(settings.nodes)]
        if problems:
            raise SettingsError("\n".join(problems))
        self._card = read_card(settings.model.path)
        self._load = load
        self._port = port
        self._http_port = http_port
        self._token = token_of(settings.http, os.environ.get)
        self._tally = Tally()
        self._web = WebServer(settings.http, self._build_web)
        self.http_port: int | None = None
        self._stop = threading.Event()
        self._persistence = Persistence(self._stop)
        self._is_asked_to_stop = False
        self._ready = threading.Event()
        self._occupancy, self.stores = _occupied(settings)
        self._refusals = Refusals(ledger=self.stores.ledger, now=now)
        self._telling = self._new_telling() if settings.audit.atna.is_on else None
        self._tasks = self._all_tasks()
        self._threads = ThreadPoolExecutor(max_workers=len(self._tasks), thread_name_prefix="service")
        self._running: list[Future[None]] = []
        self._commitment = CommitmentScp(
            nodes=[node for node in settings.nodes if isinstance(node, Node)],
            proofs=self.stores.proofs,
            store=self.stores.instances,
            ledger=self.stores.ledger,
            sender=self._sender(),
            now=now,
        )

    def start(self) -> Listener:
        """Instances are accepted; the network is loaded meanwhile, and reading begins when it is there.

        Raises PacsAiError where the DICOM port cannot be opened.
        """
        verify(self._card)
        self._listener = self._listen()
        for task in self._tasks:
            self._run(task)
        self._log_start()
        if self._settings.http.is_on or self._http_port is not None:
            self.http_port = self._web.start(self._http_port)
        return self._listener

    def _listen(self) -> Listener:
        dicom = self._settings.dicom
        try:
            return listen(
                dicom,
                self.stores.instances,
                self.stores.ledger,
                port=self._port,
                commitment=self._commitment.handlers(self._note_report),
                alerts=Alerts(ledger=self.stores.ledger, now=now) if self._settings.audit.atna.is_on else None,
                refusals=self._refusals,
                answered=self._tally.answered,
            )
        except OSError as error:
            self.close()
            port = dicom.port if self._port is None else self._port
            advice = "check dicom.host and dicom.port, `pacs-ai doctor` says more"
            if error.errno == errno.EADDRINUSE:
                advice = "is another service on it?"
            message = f"the DICOM port {dicom.host}:{port} cannot be opened: {error.strerror}; {advice}"
            raise PacsAiError(message) from error

    def _log_start(self) -> None:
        dicom = self._settings.dicom
        log.info("listening as %s on %s:%d", dicom.ae_title, dicom.host, self._listener.port)
        if not dicom.allowed_calling_ae_titles:
            log.warning("any calling AE title is accepted (dicom.allowed_calling_ae_titles is empty)")
        if not dicom.tls.is_on:
            log.warning("the DICOM port speaks plain DICOM (dicom.tls is empty)")
        for node in self._settings.nodes:
            if isinstance(node, WebNode) and not node.is_encrypted:
                log.warning("results go in plain to %s (%s)", node.name, node.url)
        if not self._settings.nodes:
            log.warning("no node is configured: results are kept and not sent ([[nodes]] is empty)")

    def _all_tasks(self) -> list[Callable[[], None]]:
        """Each has a thread of its own until the service stops."""
        tasks: list[Callable[[], None]] = [self._read, self._keep, self._tell_of_refusals]
        if self._telling is not None:
            tasks.append(self._telling.run)
        for node in self._settings.nodes:
            tasks.append(partial(self._deliver, node))
            if node.proof != "none":
                tasks.append(partial(self._prove, node))
        return tasks

    def _run(self, task: Callable[[], None]) -> None:
        running = self._threads.submit(task)
        # However one of them ends, the service does not go on without it.
        running.add_done_callback(lambda _ended: self._stop.set())
        self._running.append(running)

    def wait(self) -> None:
        """Returns when the service was asked to stop; raises what ended one of its threads."""
        while not self._is_asked_to_stop and not self._stop.wait(_POLL_SECONDS):
            pass
        self._stop.set()
        for running in self._running:
            if running.done():
                running.result()

    def wait_until_ready(self) -> None:
        """The network is loaded and reading has begun; raises what kept it from that."""
        while not self._ready.wait(_POLL_SECONDS):
            if self.has_failed:
                self.wait()

    @property
    def has_failed(self) -> bool:
        """Whether one of the threads has ended with an error."""
        return any(running.done() and running.exception() is not None for running in self._running)

    def ask_to_stop(self) -> None:
        """`wait` returns. Safe in a signal handler: no lock is taken, which the thread it interrupts might hold."""
        self._is_asked_to_stop = True

    def stop(self) -> None:
        """Everything has ended and is closed."""
        self._stop.set()
        self._web.stop()
        self._listener.stop()
        self._commitment.stop()
        self._threads.shutdown()
        self._refusals.tell(everything=True)
        if self._telling is not None:
            self._telling.end()
        self.close()

    def close(self) -> None:
        """What a service holds that has not been started; `stop` does it too."""
        self.stores.database.close()
        self._occupancy.leave()

    def _read(self) -> None:
        with film_opener(self._settings) as films:
            classifier = self._load_beside(films)
            self._read_with(build_reader(self._settings, self._card, classifier, films))

    def _load_beside(self, films: FilmOpener) -> Classifier:
        """The network, loaded while the first decoder process starts."""
        with ThreadPoolExecutor(1, initializer=_step_back) as loading:
            loaded = loading.submit(self._load, self._settings, self._card)
            try:
                films.warm_up()
            except DecoderUnavailable as error:
                log.warning("%s; compressed films have to wait", error)
            return loaded.result()

    def _read_with(self, reader: Reader) -> None:
        classifier = reader.classifier
        try:
            self._persistence.insist(lambda: self._begin_reading(reader))
        except LedgerUnavailable:
            return  # asked to stop before the ledger was there
        self._ready.set()
        log.info("reading with %s %s", classifier.identity.name, classifier.identity.version)
        readers = Readers(
            reader,
            self.stores.ledger,
            self.stores.instances,
            terms=claim_terms(self._settings),
            nodes=[node.name for node in self._settings.nodes],
            at_once=self._settings.ingest.readers,
            timed=self._tally.read,
        )
        try:
            self._persistence.repeat(lambda: readers.begin_one(now))
        finally:
            readers.finish()

    def _begin_reading(self, reader: Reader) -> None:
        take_up(self._settings, self.stores, owner_of(self._settings), now())
        self.stores.ledger.read_with(reader.setup, now(), detail=in_words(reader.setup))

    def _deliver(self, node: Node | WebNode) -> None:
        retry, outbox, instances = self._retry_policy(), self.stores.outbox, self.stores.instances
        if isinstance(node, WebNode):
            by_web = WebSender()
            self._persistence.repeat(lambda: deliver_results(node, outbox, instances, by_web, retry, now) > 0)
        else:
            sender = self._sender()
            self._persistence.repeat(lambda: deliver_results(node, outbox, instances, sender, retry, now) > 0)

    def _build_web(self) -> "Starlette":
        from .web.app import build_app  # noqa: PLC0415 - in the thread of the web server alone
        from .web.health import Health  # noqa: PLC0415
        from .web.metrics import Measures  # noqa: PLC0415
        from .web.office import Office  # noqa: PLC0415

        database, store = self.stores.database, self.stores.instances
        health = Health(
            database=database,
            store=store,
            is_network_loaded=self._ready.is_set,
            has_failed=lambda: self.has_failed,
        )
        measures = Measures(database=database, store=store, tally=self._tally, now=now)
        office = Office(
            database=database,
            store=store,
            data=self._settings.data,
            card=self._card,
            policy=priority_policy(self._settings),
            notes_use=self._settings.audit.atna.is_on,
            now=now,
            is_closing=self._stop.is_set,
        )
        return build_app(health, measures, office, token=self._token)

    def _keep(self) -> None:
        keeping = Keeping(
            expiry=self.stores.expiry,
            store=self.stores.instances,
            instances=timedelta(hours=self._settings.ingest.keep_hours),
            results=timedelta(hours=self._settings.delivery.keep_hours),
            now=now,
        )

        def remove_some() -> bool:
            # Never faster than a portion a second, so that reading and delivery are not held up.
            self._stop.wait(_PAUSE_BETWEEN_PORTIONS)
            try:
                return keeping.remove_some()
            except OSError:
                log.exception("files that may go could not be removed; trying again")
                return False

        self._persistence.repeat(remove_some, pause_between=_KEEPING_SECONDS)

    def _tell_of_refusals(self) -> None:
        def tell() -> bool:
            self._refusals.tell()
            return False

        self._persistence.repeat(tell, pause_between=_TELLING_SECONDS)

    def _prove(self, node: Node | WebNode) -> None:
        prover = Prover(
            node=node,
            proofs=self.stores.proofs,
            store=self.stores.instances,
            sender=self._sender(),
            policy=proof_policy(self._settings, self._persistence.insist),
            now=now,
        )
        # What is sent within a pause is asked for together.
        self._persistence.repeat(lambda: prover.prove_due() == MOST_AT_ONCE, pause_between=_PROOF_SECONDS)

    def _new_telling(self) -> Telling:
        pause = self._retry_policy().pause
        return Telling(self._settings, self.stores, pause=pause, persistence=self._persistence, now=now)

    def _note_report(self, report: CommitmentReport) -> None:
        note_report(report, self.stores.proofs, self._retry_policy(), now())

    def _sender(self) -> Sender:
        return Sender(self._settings.dicom.ae_title, max_pdu=self._settings.dicom.max_pdu)

    def _retry_policy(self) -> RetryPolicy:
        return retry_policy(self._settings, self._persistence.insist)
