"""The screen: the apps above, the selected one below, a key for each change."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import (
    DataTable,
    Footer,
    Sparkline,
    Static,
    TabbedContent,
    TabPane,
)

from gapless.base import clock
from gapless.base.outside.text import printable
from gapless.cli import output
from gapless.cli.progress import model
from gapless.cli.tui import actions, fleet_feed, values
from gapless.cli.tui.actions import Deed
from gapless.cli.tui.feed import Feed, Seen
from gapless.cli.tui.fleet_feed import FleetFeed, FleetSeen
from gapless.cli.tui.log_feed import LogFeed
from gapless.cli.tui.log_view import LogView
from gapless.cli.tui.questions import HowMany, Question
from gapless.cli.tui.tables import LiveTable
from gapless.client import Client

LEAST_COLUMNS, LEAST_LINES = 60, 18
MOST_STEPS = 200
ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end the screen as `q` does, so that the terminal is restored."""
OF_FLEETS = ("rollback", "hold", "resume")
"""What may be done to a rollout."""
TAKE_S, SLICE_S = 5.0, 0.1
"""So long a thread waits for the screen, and so often it looks whether it was closed."""


class Delivered(Message):
    """What a thread has brought."""

    def __init__(self, take: Callable[[], None]) -> None:
        super().__init__()
        self.take, self.taken = take, threading.Event()


class TopScreen(App[None]):
    """Shows what runs on this host."""

    TITLE = "gapless"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = [
        Binding("q", "quit", "quit"),
        Binding("r", "ask('reload')", "reload"),
        Binding("t", "ask('start')", "start"),
        Binding("s", "ask('stop')", "stop"),
        Binding("c", "scale", "scale"),
        Binding("b", "ask('rollback')", "back"),
        Binding("h", "ask('hold')", "hold"),
        Binding("H", "ask('resume')", "resume", show=False),
        Binding("1", "tab('instances')", show=False),
        Binding("2", "tab('release')", show=False),
        Binding("3,l", "tab('logs')", show=False),
        Binding("4", "tab('fleet')", show=False),
        Binding("slash", "filter", "filter"),
        Binding("f", "follow", "follow"),
        Binding("escape", "apps", show=False),
    ]
    CSS = """
    #summary { height: 1; background: $primary; color: $text; padding: 0 1; }
    #trouble { height: auto; max-height: 3; background: $error; color: $text;
               padding: 0 1; display: none; }
    #apps { height: 2fr; min-height: 5; }
    #below { height: 3fr; }
    TabPane { padding: 0; }
    #about { height: auto; max-height: 2; padding: 0 1; }
    #trends { height: 2; }
    #trends Vertical { width: 1fr; padding: 0 1; }
    Sparkline { height: 1; }
    #work { height: 1; padding: 0 1; }
    #steps { height: 1fr; padding: 0 1; }
    #generations { height: auto; max-height: 5; }
    #small { display: none; content-align: center middle; height: 100%; }
    """

    def __init__(self, client: Client, config: str = "") -> None:
        super().__init__()
        self._client, self._config = client, config
        self._rows: dict[str, dict[str, Any]] = {}
        self._trends: dict[str, values.Trends] = {}
        self._works: dict[str, model.Line] = {}
        self._steps: dict[str, list[str]] = {}
        self._fleet: FleetSeen | None = None
        self.feed = Feed(client, self._from_thread(self.show))
        self.logs = LogFeed(self._from_thread(self.show_lines))
        self.fleets = FleetFeed(config, self._from_thread(self.show_fleet))

    def _from_thread(self, take: Any) -> Any:
        """Return what calls *take* in the loop of the screen, if it is still there.

        Who delivers waits until it was taken: a screen that is slow is told less.  For one
        that was closed nobody waits.
        """

        def deliver(*given: Any) -> None:
            message = Delivered(lambda: take(*given))
            try:
                is_sent = self.post_message(message)
            except RuntimeError:
                return  # it was closed meanwhile
            over_at = clock.monotonic() + TAKE_S
            while is_sent and self.is_running and clock.monotonic() < over_at:
                if message.taken.wait(SLICE_S):
                    return

        return deliver

    def on_delivered(self, message: Delivered) -> None:
        """Take what a thread has brought."""
        if self.query("#work"):  # the last of the widgets goes before the loop ends
            message.take()
        message.taken.set()

    # --- what is there ----------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Make the widgets."""
        with Vertical(id="all"):
            yield Static(id="summary")
            yield Static(id="trouble")
            yield LiveTable(values.APP_HEADINGS, "apps")
            with TabbedContent(id="below"):
                with TabPane("1 instances", id="instances"):
                    yield Static(id="about")
                    with Horizontal(id="trends"):
                        for name in ("cpu", "memory", "requests"):
                            with Vertical():
                                yield Static(name, id=f"{name}-now")
                                yield Sparkline([], id=f"{name}-trend")
                    yield LiveTable(values.INSTANCE_HEADINGS, "instance-table")
                with TabPane("2 release", id="release"):
                    yield LiveTable(values.GENERATION_HEADINGS, "generations")
                    with VerticalScroll():
                        yield Static(id="steps")
                with TabPane("3 logs", id="logs"):
                    yield LogView()
                with TabPane("4 fleet", id="fleet"):
                    yield Static(id="rollout")
                    yield LiveTable(fleet_feed.HEADINGS, "hosts")
            yield Static(id="work")
            yield Footer(show_command_palette=False)
        yield Static(id="small")

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#apps").focus()
        for each in (self.feed, self.logs, self.fleets):
            each.start()
        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.add_signal_handler(number, self.exit)

    def on_unmount(self) -> None:
        """Stop looking."""
        for each in (self.feed, self.logs, self.fleets):
            each.stop()

    def on_resize(self, event: events.Resize) -> None:
        """Say so where there is no room."""
        columns, lines = event.size
        is_small = columns < LEAST_COLUMNS or lines < LEAST_LINES
        self.query_one("#all").display = not is_small
        small = self.query_one("#small", Static)
        small.display = is_small
        small.update(
            Text(
                f"the terminal is too small: {columns} x {lines}, and {LEAST_COLUMNS} x "
                f"{LEAST_LINES} are needed; q quits"
            )
        )
        self._show_apps()

    # --- what is seen -----------------------------------------------------------------

    def show(self, seen: Seen) -> None:
        """Show a look at the host."""
        trouble = self.query_one("#trouble", Static)
        trouble.display = bool(seen.trouble)
        trouble.update(Text(printable(seen.trouble)))
        if seen.is_stale:
            return
        if seen.is_whole:
            self._take_rows(seen.rows)
        if seen.described is not None and seen.described["name"] in self._rows:
            self._rows[seen.described["name"]] = seen.described
        line = values.summary(seen.rows, seen.supervisor)
        drains = "  THIS HOST DRAINS" if seen.supervisor.get("draining") else ""
        self.query_one("#summary", Static).update(Text(f"{line}{drains}"))
        self._show_apps()
        if seen.described is not None:
            self._show_app(seen.described)

    def _take_rows(self, rows: Sequence[dict[str, Any]]) -> None:
        self._rows = {row["name"]: row for row in rows}
        self._trends = {
            name: self._trends.get(name) or values.Trends() for name in self._rows
        }
        for name, row in self._rows.items():
            self._trends[name].add(row)

    def _show_apps(self) -> None:
        width = self.size.width
        self._table("apps").show(
            {
                name: values.app_cells(row, self._trends[name], width)
                for name, row in self._rows.items()
            }
        )

    def _show_app(self, described: dict[str, Any]) -> None:
        name = described["name"]
        if name != self.selected:
            return
        self.query_one("#about", Static).update(Text(values.sentence(described)))
        trends = self._trends.get(name) or values.Trends()
        now = {
            "cpu": (trends.cpu, f"cpu {described['cpu_percent']}%"),
            "memory": (
                trends.memory,
                f"memory {output.size(described['memory_bytes'])}",
            ),
            "requests": (trends.requests, f"requests {described['requests'] or 0}"),
        }
        for each, (past, words) in now.items():
            self.query_one(f"#{each}-now", Static).update(Text(words))
            self.query_one(f"#{each}-trend", Sparkline).data = [*past]
        cells = map(values.instance_cells, described["instances_detail"])
        self._table("instance-table").show({row[0]: row for row in cells})
        generations = values.generation_cells(described)
        self._table("generations").show({row[0]: row for row in generations})
        lines = self._steps.get(name) or values.report_lines(described)
        self.query_one("#steps", Static).update(Text("\n".join(lines)))
        self.logs.choose(name, described["logs"])

    def show_lines(self, app: str, lines: Sequence[str], left_out: str) -> None:
        """Show new lines of a log."""
        if app == self.selected:
            self.query_one(LogView).add(app, lines, left_out)

    def show_fleet(self, seen: FleetSeen) -> None:
        """Show a look at the fleet."""
        self._fleet = seen
        self.query_one("#rollout", Static).update(Text(seen.sentence))
        self._table("hosts").show(seen.hosts)

    # --- what is selected -------------------------------------------------------------

    @property
    def selected(self) -> str:
        """Return the name of the app at the cursor."""
        return self._table("apps").key_here()

    def _table(self, name: str) -> LiveTable:
        return self.query_one(f"#{name}", LiveTable)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Look at the app that was selected."""
        if event.data_table.id == "apps" and self.selected:
            self.feed.select(self.selected)
            self._choose_fleet()

    def on_tabbed_content_tab_activated(self) -> None:
        """Look at the fleet while it is shown."""
        self._choose_fleet()

    def _choose_fleet(self) -> None:
        is_shown = self.query_one(TabbedContent).active == "fleet"
        self.fleets.choose(self.selected if is_shown else "")

    def action_tab(self, name: str) -> None:
        """Show a tab."""
        self.query_one(TabbedContent).active = name

    def action_apps(self) -> None:
        """Go back to the apps."""
        self.query_one("#apps").focus()

    def action_filter(self) -> None:
        """Type a word that lines of the log must have."""
        self.action_tab("logs")
        self.query_one(LogView).ask_filter()

    def action_follow(self) -> None:
        """Follow the log, or stop following it."""
        follows = self.query_one(LogView).follow()
        self.notify("the log is followed" if follows else "the log stands still")

    # --- changes ----------------------------------------------------------------------

    def action_ask(self, action: str) -> None:
        """Ask before something is changed: what is shown now is meant, not what follows."""
        app = self.selected
        if not app:
            return
        rollout = self._rollout_shown(app) if action in OF_FLEETS else 0
        release = ""
        if action == "rollback" and not rollout:
            release = values.release_that_serves(self._rows[app])
        deed = Deed(action=action, app=app, rollout=rollout, release=release)
        self.push_screen(Question(deed), self._begin)

    def _rollout_shown(self, app: str) -> int:
        """Return the number of the rollout that is shown; 0: none of this app is."""
        is_shown = self.query_one(TabbedContent).active == "fleet"
        seen = self._fleet
        return seen.rollout if is_shown and seen and seen.app == app else 0

    def action_scale(self) -> None:
        """Ask how many instances there are to be."""
        name = self.selected
        if not name:
            return
        now = int(self._rows[name]["instances"]["wanted"])

        def chosen(count: int | None) -> None:
            if count is not None:
                self._begin(Deed(action="scale", app=name, instances=count))

        self.push_screen(HowMany(Deed(action="scale", app=name, instances=now)), chosen)

    def _begin(self, deed: Deed | None) -> None:
        if deed is None:
            return
        self._steps[deed.app] = []
        self._works[deed.app] = model.Line(name=deed.app)

        def step(event: dict[str, Any]) -> None:
            self._from_thread(self._take_step)(deed, event)

        def end(outcome: str, reason: str) -> None:
            self._from_thread(self._take_end)(deed, outcome, reason)

        # One that only looks would start no supervisor.
        client = Client(self._client.home.path)
        try:
            actions.begin(deed, client, self._config, step, end)
        except RuntimeError:
            self._take_end(deed, "failed", "this host has no thread left for it")

    def _take_step(self, deed: Deed, event: dict[str, Any]) -> None:
        line = model.after_step(self._works[deed.app], event)
        self._works[deed.app] = line
        words = f"{event['at_s']:7.2f} s  {event['step']}  {event['detail']}"
        self._steps[deed.app] = [*self._steps[deed.app], printable(words)][-MOST_STEPS:]
        text = f"{deed.app}: {deed.action}: {line.phase} {line.words}"
        colour = "red" if line.mood is model.Mood.BAD else "yellow"
        self.query_one("#work", Static).update(Text(printable(text), style=colour))
        self.feed.hurry()
        if deed.app == self.selected:
            steps = "\n".join(self._steps[deed.app])
            self.query_one("#steps", Static).update(Text(steps))

    def _take_end(self, deed: Deed, outcome: str, reason: str) -> None:
        self._steps.pop(deed.app, None)
        is_bad = outcome in ("failed", "superseded")
        why = f": {reason}" if reason else ""
        text = printable(f"{deed.app}: {deed.action} {outcome}{why}")
        colour = "bold red" if is_bad else "green"
        self.query_one("#work", Static).update(Text(text, style=colour))
        self.feed.hurry()
        if is_bad:  # the line may be too short for the reason
            self.notify(text, severity="error", timeout=15, markup=False)
