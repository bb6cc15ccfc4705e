"""The page of a pruning to several sizes: the curve, its figures, how it was made."""

import tempfile
from functools import partial
from pathlib import Path
from shutil import copyfile

from markupsafe import Markup

from cutis import html
from cutis.evaluation import style
from cutis.storage import commit_files
from cutis.studies.pruning_record import Network, Pruning

PAGE = "pruning.html"
_FIGURE = "pruning"
_SCORES = {"balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}


def headline(made: Pruning) -> str:
    """The curve in one sentence, by its smallest network."""
    run, last = made.networks[0], made.networks[-1]
    return (
        f"At {_share(made, last):.2f} of the multiply-adds a photo takes "
        f"{last.cost.milliseconds:.2f} ms in place of {run.cost.milliseconds:.2f}, and balanced "
        f"accuracy on validation is {last.balanced_accuracy:.3f} in place of "
        f"{run.balanced_accuracy:.3f}: a change of {change_text(last)} percentage points."
    )


def change_text(network: Network) -> str:
    """The change of the balanced accuracy in percentage points with its interval."""
    change = network.change
    if change is None:
        return "–"
    text = f"{100 * change.value:+.1f}"
    if change.low is None or change.high is None:
        return text
    return f"{text} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"


def name_of(network: Network) -> str:
    """The share that was asked for, or that it is the run itself."""
    return "run" if network.share is None else f"{network.share:g}"


def write_page(made: Pruning, folder: Path) -> None:
    """Writes pruning.html and its figure as PNG and SVG, together."""
    with tempfile.TemporaryDirectory() as place:
        drawn = Path(place)
        (drawn / PAGE).write_text(_page(made, drawn), encoding="utf-8")
        commit_files(
            folder, {file.name: partial(copyfile, file) for file in sorted(drawn.iterdir())}
        )


def _page(made: Pruning, folder: Path) -> str:
    title = f"Pruning of {made.recipe}"
    unsafe = "The split lets photos of one lesion stand on both sides, so every figure is too high."
    return html.page(
        title,
        html.element("h1", title),
        html.paragraph(html.element("strong", headline(made))),
        html.notice(),
        *([html.unsafe_banner(unsafe)] if made.unsafe else []),
        _curve(made, folder),
        _networks(made),
        _method(made),
    )


def _curve(made: Pruning, folder: Path) -> Markup:
    return html.section(
        "Accuracy against time",
        html.figure(
            _drawn(made, folder),
            "image/svg+xml",
            "Balanced accuracy and accuracy by milliseconds; the table below holds the numbers",
            "A point a network, with its share of the multiply-adds; the square is the run itself. "
            "Time is that of one photo on one thread, on the machine that made this page.",
        ),
    )


def _networks(made: Pruning) -> Markup:
    head = ["Share", "Folder", "Multiply-adds, M", "Parameters, M", "ONNX, MB", "ms a photo",
            "Balanced accuracy", "Change, points", "Accuracy", "Epochs"]  # fmt: skip
    rows: list[list[html.Content]] = [
        [
            name_of(network),
            html.element("code", network.folder),
            f"{network.cost.multiply_adds / 1e6:.1f}",
            f"{network.cost.parameters / 1e6:.2f}",
            f"{network.cost.onnx_bytes / 1e6:.1f}",
            f"{network.cost.milliseconds:.2f}",
            f"{network.balanced_accuracy:.3f}",
            change_text(network),
            f"{network.accuracy:.3f}",
            network.epochs,
        ]
        for network in made.networks
    ]
    return html.section(
        "Networks",
        html.table(
            head,
            rows,
            caption=f"{made.photos} validation photos of {made.groups} groups. Change: of the "
            "balanced accuracy against the run, with a 95 % interval, paired by photo. Parameters "
            "hold the running statistics; ONNX is the file in 32-bit floats.",
            text_columns=2,
        ),
        html.paragraph(
            "The epochs were chosen on these photos, the run's as well as those of the pruned "
            "networks, so all figures are a little optimistic. The test part was not read."
        ),
    )


def _method(made: Pruning) -> Markup:
    ranked = {
        "taylor": "Importance: how much the loss on training photos would change without the "
        "channel, by a Taylor expansion (Molchanov et al. 2019), by the mean of its group.",
        "magnitude": "Importance: the squared weights that make and read the channel (Fang et al. "
        "2023), by the mean of its group.",
    }[made.importance]
    return html.section(
        "How it was made",
        html.bullets(
            [
                "Whole channels are cut from the run, the least important first, until the "
                "multiply-adds are at most the share. Channels that a shortcut adds go together "
                "(Torch-Pruning); every layer keeps a multiple of eight.",
                ranked,
                "What is left is fine-tuned by the run's own recipe, shortened; every folder "
                "holds it as run. Each network is cut from the run, not from a pruned one.",
                f"Intervals resample whole groups {made.resamples} times. They do not cover the "
                "chance in training.",
                f"{made.architecture} at {made.size} pixels; time by {made.engine}, the median of "
                "photos answered one by one, from decoded pixels to logits, the networks taking "
                f"turns. Weights of the run: {made.run_sha256[:12]}; Cutis {made.cutis_version}.",
            ]
        ),
    )


def _drawn(made: Pruning, folder: Path) -> bytes:
    times = [network.cost.milliseconds for network in made.networks]
    with style.look():
        figure, panels = style.panels(2, width=4.3, height=3.5, unsafe=made.unsafe)
        for panel, (score, label), colour in zip(
            panels, _SCORES.items(), style.COLOURS, strict=False
        ):
            values = [getattr(network, score) for network in made.networks]
            panel.plot(times, values, color=style.FAINT, linewidth=1, zorder=1)
            panel.scatter(times[:1], values[:1], marker="s", s=34, color=colour, zorder=3)
            panel.scatter(times[1:], values[1:], s=30, color=colour, zorder=3)
            for network, time, value in zip(made.networks, times, values, strict=True):
                panel.annotate(
                    f"{_share(made, network):.2f}", (time, value), (0, 7),
                    textcoords="offset points", ha="center", fontsize=8,
                )  # fmt: skip
            panel.margins(0.12, 0.2)
            panel.set(xlabel="milliseconds a photo, one thread", ylabel=f"{label} on validation")
        return style.save(figure, folder, _FIGURE)


def _share(made: Pruning, network: Network) -> float:
    """Multiply-adds that are left."""
    return network.cost.multiply_adds / made.networks[0].cost.multiply_adds
