"""Progress: lines now and then, a bar that rewrites itself, and who decides about it."""

import io

from equinet.training.progress import Progress, progress_bars


def test_plain_lines_come_now_and_then():
    stream = io.StringIO()
    progress = Progress(100, stream=stream)
    progress.show(10, "loss 0.5", 2.0)
    progress.show(11, "loss 0.4", 2.0)  # too soon
    progress.note("step 11  mse 0.1")
    progress.close()
    assert stream.getvalue() == (
        "step 10/100  loss 0.5  2 steps/s  left 0:00:45\nstep 11  mse 0.1\n"
    )


def test_the_bar_rewrites_its_line():
    stream = io.StringIO()
    progress = Progress(10, bar=True, stream=stream)
    progress.show(5, "loss 0.5", 0.0)
    progress.note("note")
    progress.show(10, "loss 0.25", 1.0)
    progress.close()
    text = stream.getvalue()
    assert text.count("\r") == 2
    assert "[############............]" in text
    assert "left ?" in text
    assert "\nnote\n" in text
    assert text.endswith("\n")


def test_the_last_unit_is_always_shown():
    stream = io.StringIO()
    with Progress(2, bar=True, stream=stream, unit="configuration") as progress:
        progress.show(1)
        progress.show(2)
    assert "configuration 2/2" in stream.getvalue()


def test_the_command_decides_about_bars_inside():
    stream = io.StringIO()
    with progress_bars(True), Progress(1, stream=stream) as progress:
        progress.show(1)
    assert "[" in stream.getvalue()
    stream = io.StringIO()
    with Progress(1, stream=stream) as progress:  # no terminal
        progress.show(1)
    assert "[" not in stream.getvalue()
