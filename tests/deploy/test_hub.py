"""The configuration of a JupyterHub, read by its own classes, and two students on a real one."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, closing
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zipfile import ZipFile

import pytest
import torch
import yaml
from firstuseauthenticator import FirstUseAuthenticator
from jupyter_server.services.kernels.kernelmanager import MappingKernelManager
from jupyterhub.app import JupyterHub
from jupyterhub.auth import Authenticator
from jupyterhub.spawner import LocalProcessSpawner, Spawner
from packaging.utils import canonicalize_name
from traitlets.config import Config, Configurable
from traitlets.config.loader import PyFileConfigLoader

import autograd_viz
from bench import hub, lesson
from bench.students import Student
from tests.building import built

FOLDER = hub.ROOT / "deploy" / "jupyterhub"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
TLJH = yaml.safe_load((FOLDER / "tljh.yaml").read_text(encoding="utf-8"))
VALUES = yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8"))
OF_HUB = (JupyterHub, Spawner, Authenticator, FirstUseAuthenticator)
CLASSES: dict[str, type[Configurable]] = {
    one.__name__: one for one in (*OF_HUB, MappingKernelManager)
}


def classroom() -> Config:
    """What classroom.py says, to JupyterHub and so to TLJH."""
    return PyFileConfigLoader(hub.CLASSROOM.name, path=str(hub.CLASSROOM.parent)).load_config()


def check(config: dict[str, dict[str, Any]]) -> None:
    """Each setting is one of the real class, which takes its value."""
    for name, settings in config.items():
        traits = CLASSES[name].class_traits(config=True)
        assert settings.keys() <= traits.keys(), name
        for setting, value in settings.items():
            traits[setting]._validate(CLASSES[name].__new__(CLASSES[name]), value)


# What the files say


def test_jupyterhub_knows_each_setting():
    config = classroom()
    assert config.pop("SystemdSpawner") == {"isolate_tmp": True}  # comes with TLJH, not with us
    check(config)
    check(VALUES["hub"]["config"])
    # as Zero to JupyterHub runs it, where get_config is something else
    bare = {"c": Config()}
    exec(hub.CLASSROOM.read_text(encoding="utf-8"), bare)
    assert bare["c"] == classroom()


def test_a_setting_that_jupyterhub_does_not_know_is_found():
    with pytest.raises(AssertionError):
        check({"JupyterHub": {"cleanup_server": False}})
    with pytest.raises(Exception, match="cleanup_servers"):
        check({"JupyterHub": {"cleanup_servers": "sometimes"}})


def test_students_servers_know_each_option():
    arguments = classroom().Spawner.args
    found = [re.fullmatch(r"--(\w+)\.(\w+)=.+", argument) for argument in arguments]
    for option in found:
        assert option is not None
        assert option[2] in CLASSES[option[1]].class_traits(config=True)
    assert len(found) == 3


def test_both_engines_give_a_student_the_same():
    student = VALUES["singleuser"]
    assert student["memory"]["limit"] == TLJH["limits"]["memory"]
    assert student["cpu"]["limit"] == TLJH["limits"]["cpu"]
    assert student["extraEnv"] == dict(classroom().Spawner.environment)
    culls = TLJH["services"]["cull"], VALUES["cull"]
    for one, other in (("enabled",) * 2, ("timeout",) * 2, ("every",) * 2, ("max_age", "maxAge")):
        assert culls[0][one] == culls[1][other]
    admins = VALUES["hub"]["config"]["Authenticator"]["admin_users"]
    assert admins == TLJH["users"]["admin"]


def test_jupyterhub_reads_the_limits():
    spawner = LocalProcessSpawner(
        mem_limit=TLJH["limits"]["memory"],
        mem_guarantee=VALUES["singleuser"]["memory"]["guarantee"],
        cpu_limit=float(TLJH["limits"]["cpu"]),
    )
    assert isinstance(TLJH["limits"]["cpu"], int)  # TLJH takes no parts of a core
    assert spawner.mem_limit == 2 * 2**30
    assert spawner.mem_guarantee == 2**29


def test_the_image_has_the_versions_of_the_project():
    dockerfile = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    assert VALUES["singleuser"]["image"]["tag"] == autograd_viz.__version__
    assert f":{autograd_viz.__version__} ." in dockerfile
    assert "--constraint /opt/source/requirements.txt" in dockerfile
    assert '"/opt/source[notebooks]"' in dockerfile
    (python,) = re.findall(r"FROM python:([\d.]+)-slim", dockerfile)
    assert f"python={python}" in (hub.ROOT / "environment.yml").read_text(encoding="utf-8")
    assert f"JupyterHub {pinned('jupyterhub').split('.')[0]}." in README


def test_the_image_asks_for_no_version_that_contradicts_another():
    """What requirements.txt pins has no second version in the Dockerfile, however it is written."""
    dockerfile = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    lines = (hub.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = {
        canonicalize_name(line.partition("==")[0]): line.partition("==")[2]
        for line in lines
        if "==" in line
    }
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", dockerfile, re.M))
    asked = re.findall(r"([\w.-]+)==(\$?[\w.]+)", dockerfile)
    assert asked
    for name, version in asked:
        given = arguments[version[1:]] if version.startswith("$") else version
        assert pins.get(canonicalize_name(name), given) == given
    names = {canonicalize_name(name) for name in arguments}
    assert names & pins.keys() == set()


def test_the_image_gets_nothing_but_what_the_wheel_is_built_from(tmp_path):
    lines = [
        line
        for line in (hub.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    copied = [line[1:] for line in lines if line.startswith("!")]
    assert [line for line in lines if line not in ("*", "**/__pycache__")] == [
        f"!{name}" for name in copied
    ]
    source = tmp_path / "source"
    source.mkdir()
    for path in (hub.ROOT / name for name in copied):
        if path.is_dir():
            shutil.copytree(path, source / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source)
    whole, small = tmp_path / "whole", tmp_path / "small"
    with (
        ZipFile(built("wheel", whole)) as one,
        ZipFile(built("wheel", small, tmp_path / "source")) as other,
    ):
        assert sorted(one.namelist()) == sorted(other.namelist())


def test_other_log_ins_are_settings_of_their_classes():
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.S)]
    assert len(blocks) == 2
    for block in blocks:
        module, _, name = block["JupyterHub"]["authenticator_class"].rpartition(".")
        assert name in block
        check({"Authenticator": block["Authenticator"]})
        if find_spec(module.partition(".")[0]):  # it comes with a hub, not with us
            authenticator = getattr(import_module(module), name)
            assert block[name].keys() <= authenticator.class_traits(config=True).keys()
            authenticator(config=Config(block))


def pinned(name: str) -> str:
    """The version in requirements.txt."""
    lines = (hub.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    (version,) = (line.partition("==")[2] for line in lines if line.startswith(f"{name}=="))
    return version


def test_the_line_in_the_readme_makes_the_link_in_the_readme():
    (line,) = re.findall(r"^    (python3 -c .*)$", README, re.M)
    (link,) = re.findall(r"^    (https://hub\.example\.org/hub/user-redirect/.*)$", README, re.M)
    command = [sys.executable, *shlex.split(line)[1:]]
    made = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    assert made == link
    asked = parse_qs(urlsplit(link).query)
    (folder,) = {urlsplit(asked["repo"][0]).path.split("/")[-1]}  # where nbgitpuller puts it
    path = asked["urlpath"][0].removeprefix(f"lab/tree/{folder}/")
    assert (hub.ROOT / path).is_file()


def test_readme_names_each_file():
    for path in FOLDER.iterdir():
        assert path.name == "README.md" or f"({path.name})" in README


# A class


def gradient(student: Student, model: str, a: float, b: float) -> float:
    """That of a, as a widget of notebook 03 shows it at a point: the sum of two contributions."""
    controls = student.widgets[model]["controls"]
    inputs = {"a": a, "b": b, "log": controls[2]["options"][0]}
    places = [round((inputs[name] - 0.5) / 0.25) for name in "ab"]
    state = student.answer(model, inputs, f"{places[0]}|{places[1]}|0")["state"]
    (scene,) = (one for one in student.widgets[model]["scenes"] if one["id"] == state["scene"])
    key = next(key for key in scene["keys"] if key.startswith("variable-0 ∂e/∂a ="))
    return sum(map(float, state["texts"][scene["keys"].index(key)].split(" + ")))


def torchs(a0: float, b0: float) -> object:
    """What torch says, to the digits that are shown."""
    a = torch.tensor(a0, requires_grad=True)
    b = torch.tensor(b0)
    ((a + b) * torch.log2(a) * torch.log2(b)).backward()
    assert a.grad is not None
    return pytest.approx(a.grad.item(), abs=1e-3)


@pytest.mark.large
@pytest.mark.skipif(sys.platform != "linux", reason="JupyterHub's local servers need Linux here")
def test_two_students_work_on_while_the_hub_is_killed_and_a_kernel_dies(tmp_path: Path):
    with hub.running(tmp_path, ("one", "two")) as place, ExitStack() as ending:

        def student(name: str) -> Student:
            return ending.enter_context(closing(Student(place.address, name, place.password)))

        students = [student(name) for name in place.names]
        models = []
        for each in students:
            lesson.give(place, each.name)
            each.log_in()
            cells = each.cells(lesson.NOTEBOOK)
            each.start_kernel()
            outputs = [output for cell in cells for output in each.run(cell)]
            assert any(lesson.PICTURE in output for output in outputs)
            widgets = [one[lesson.WIDGET] for one in outputs if lesson.WIDGET in one]
            models.append(widgets[0]["model_id"])
        one, two = students

        # Each has the numbers of their own sliders.
        assert gradient(one, models[0], 3.0, 5.0) == torchs(3.0, 5.0)
        assert gradient(two, models[1], 1.5, 7.0) == torchs(1.5, 7.0)

        # Nobody enters another's server.
        assert one.client.get(f"{two.server}/api/contents").status_code == 403

        # What is saved is there after the kernel was killed, and a new one computes.
        written = {"type": "file", "format": "text", "content": "what I learnt"}
        one.ask("PUT", "contents/notes.txt", json=written)
        one.run("mine = 42")
        (pid,) = two.run("import os\nprint(os.getpid())")
        os.kill(int(pid["text/plain"]), signal.SIGKILL)
        assert (
            place.home("one").joinpath("notes.txt").read_text(encoding="utf-8") == "what I learnt"
        )
        assert place.home("two").joinpath(lesson.NOTEBOOK).is_file()
        two.start_kernel()
        assert two.run("1 + 1")[0]["text/plain"] == "2"

        # While the hub is away and after it is back, the other's kernel, variables and widget live.
        place.end(signal.SIGKILL)
        assert gradient(one, models[0], 6.0, 2.0) == torchs(6.0, 2.0)
        place.start()
        assert gradient(one, models[0], 2.0, 3.0) == torchs(2.0, 3.0)
        one.connect()
        assert one.run("mine")[0]["text/plain"] == "42"
        again = student("one")
        again.log_in()
        assert [kernel["id"] for kernel in again.ask("GET", "kernels")] == [one.kernel]
