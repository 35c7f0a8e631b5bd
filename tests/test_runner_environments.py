"""Environments are built once, whole or not at all, from exactly what the lock says; from wheels made here, offline."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from slipway.runner import environments
from slipway.runner.errors import InputError, RemoteError

SCRIPTS = Path(__file__).parents[1] / "scripts"
BUILD = (
    "import sys; from pathlib import Path; from slipway.runner import environments; "
    "print(environments.for_lock(Path(sys.argv[1])))"
)


def make_wheel(folder: Path, name: str, files: dict[str, str], version: str = "1.0") -> str:
    """A wheel of its own files in `folder`; returns its line for a lock."""
    folder.mkdir(parents=True, exist_ok=True)
    described = f"{name}-{version}.dist-info"
    everything = {
        **files,
        f"{described}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{described}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {path: hashlib.sha256(content.encode()).digest() for path, content in everything.items()}
    record = [
        f"{path},sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')},{len(everything[path])}"
        for path, digest in digests.items()
    ]
    everything[f"{described}/RECORD"] = "\n".join([*record, f"{described}/RECORD,,"]) + "\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in everything.items():
            described_file = zipfile.ZipInfo(path)
            described_file.external_attr = (0o100755 if ".data/scripts/" in path else 0o100644) << 16
            archive.writestr(described_file, content)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="session")
def uv(environments_cache: Path) -> str:
    """The locked uv, as a stage finds it: on the PATH, or brought by pip."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_CACHE", str(environments_cache))
        return environments.find_uv()


@pytest.fixture(autouse=True)
def job(uv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job with uv on its PATH, an empty temporary folder, and an index that is a folder of wheels."""
    settings = ("SLIPWAY_", "RUNNER_", "UV_", "PIP_", "GITHUB_")
    for name in [name for name in os.environ if name.startswith(settings)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{Path(uv).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    for name in ("UV", "PIP"):
        monkeypatch.setenv(f"{name}_NO_INDEX", "1")
        monkeypatch.setenv(f"{name}_FIND_LINKS", str(tmp_path / "wheels"))
        monkeypatch.setenv(f"{name}_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock of one package, `tiny`."""
    file = tmp_path / "lock.txt"
    file.write_text(make_wheel(tmp_path / "wheels", "tiny", {"tiny.py": "VALUE = 42\n"}), encoding="utf-8")
    return file


def value_of(python: Path) -> str:
    done = subprocess.run(
        [str(python), "-c", "import tiny, sys; print(tiny.VALUE, sys.prefix)"],
        capture_output=True,
        text=True,
        check=True,
    )
    value, prefix = done.stdout.split()
    assert prefix == str(python.parents[1])
    return value


def environments_of(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "home" / "environments").iterdir() if path.is_dir()]


def test_for_lock__holds_what_the_lock_says(lock: Path) -> None:
    assert value_of(environments.for_lock(lock)) == "42"


def test_for_lock__is_built_once(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = environments.for_lock(lock)
    (first.parents[1] / "witness").touch()
    assert environments.for_lock(lock) == first
    assert (first.parents[1] / "witness").exists()
    assert capsys.readouterr().out.count("Building the environment of lock.txt") == 1


def test_for_lock__a_changed_lock_is_another_environment(lock: Path, tmp_path: Path) -> None:
    first = environments.for_lock(lock)
    lock.write_text(lock.read_text() + "# changed\n", encoding="utf-8")
    assert environments.for_lock(lock) != first
    assert len(environments_of(tmp_path)) == 2


def test_for_lock__the_name_of_the_lock_does_not_matter(lock: Path, tmp_path: Path) -> None:
    first = environments.for_lock(lock)
    assert environments.for_lock(Path(shutil.copy(lock, tmp_path / "other.txt"))) == first


def test_for_lock__what_was_half_built_is_built_again(lock: Path, tmp_path: Path) -> None:
    python = environments.for_lock(lock)
    folder = python.parents[1]
    (folder / "slipway-complete").unlink()
    python.unlink()
    (folder / "left-over").touch()
    assert value_of(environments.for_lock(lock)) == "42"
    assert not (folder / "left-over").exists()


def test_for_lock__two_processes_at_once_build_once(lock: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    command = [sys.executable, "-c", BUILD, str(lock)]
    both = [subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0][-1] == said[1][-1]
    assert sum(line.startswith("Building") for lines in said for line in lines) == 1


def test_for_lock__another_file_than_the_locked_one_is_refused(lock: Path, tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "tiny", {"tiny.py": "VALUE = 'evil'\n"})
    with pytest.raises(RemoteError, match="could not be installed") as caught:
        environments.for_lock(lock)
    assert "mismatch" in caught.value.why.lower()
    assert "do not go on" in caught.value.fix
    assert not [path for path in environments_of(tmp_path) if (path / "slipway-complete").exists()]


def test_for_lock__works_once_the_right_file_is_back(lock: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "wheels" / "tiny-1.0-py3-none-any.whl"
    right = wheel.read_bytes()
    wheel.unlink()
    with pytest.raises(RemoteError):
        environments.for_lock(lock)
    wheel.write_bytes(right)
    assert value_of(environments.for_lock(lock)) == "42"


def test_for_lock__every_package_of_a_lock_with_hashes_needs_one(lock: Path, tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "other", {"other.py": ""})
    lock.write_text(lock.read_text() + "other==1.0\n", encoding="utf-8")
    with pytest.raises(RemoteError):
        environments.for_lock(lock)


def test_for_lock__takes_a_list_without_hashes(lock: Path) -> None:
    lock.write_text("tiny\n", encoding="utf-8")
    assert value_of(environments.for_lock(lock)) == "42"


def test_for_lock__a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.txt cannot be read"):
        environments.for_lock(tmp_path / "absent.txt")


def test_for_lock__an_old_python_is_told(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 9, "final", 0))
    with pytest.raises(InputError, match=r"needs Python 3\.11 or newer") as caught:
        environments.for_lock(lock)
    assert "setup-python" in caught.value.fix


def test_for_group__an_unknown_one_names_the_known() -> None:
    with pytest.raises(InputError, match="no group of requirements named `post-reports`") as caught:
        environments.for_group("post-reports")
    assert "record-reports, refresh-data, reproduce-model, s3, sign-model" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("UV_SYSTEM_PYTHON", "1"),
        ("UV_TARGET", "elsewhere"),
        ("UV_PREFIX", "elsewhere"),
        ("UV_PYTHON", "3.99"),
        ("UV_PROJECT_ENVIRONMENT", "elsewhere"),
        ("UV_CONSTRAINT", "absent.txt"),
        ("UV_OVERRIDE", "absent.txt"),
        ("UV_EXCLUDE_NEWER", "2000-01-01"),
        ("UV_NO_BINARY", "1"),
        ("UV_WORKING_DIR", "/nowhere"),
        ("PYTHONHOME", "/nowhere"),
        ("VIRTUAL_ENV", "/nowhere"),
    ],
)
def test_for_lock__the_callers_settings_do_not_redirect_it(
    name: str, value: str, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    python = environments.for_lock(lock)
    monkeypatch.delenv(name)
    assert value_of(python) == "42"
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("name", ["UV_NO_VERIFY_HASHES", "UV_NO_REQUIRE_HASHES"])
def test_for_lock__the_callers_settings_do_not_open_it(
    name: str, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path / "wheels", "tiny", {"tiny.py": "VALUE = 'evil'\n"})
    monkeypatch.setenv(name, "1")
    with pytest.raises(RemoteError):
        environments.for_lock(lock)


@pytest.mark.parametrize("file", ["pyproject.toml", "uv.toml"])
def test_for_lock__the_callers_project_does_not_redirect_it(
    file: str, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Locally `.slipway` lies inside of the repository, and uv looks for settings upwards.
    monkeypatch.delenv("SLIPWAY_HOME")
    table = "[tool.uv.pip]" if file == "pyproject.toml" else "[pip]"
    (tmp_path / "work" / file).write_text(f'{table}\ntarget = "elsewhere"\n', encoding="utf-8")
    python = environments.for_lock(lock)
    assert python.is_relative_to(tmp_path / "work" / ".slipway")
    assert value_of(python) == "42"
    assert not (tmp_path / "work" / "elsewhere").exists()


BACKEND = """
import json, os
def get_requires_for_build_wheel(settings=None):
    return []
def build_wheel(folder, settings=None, metadata=None):
    import zipfile
    described = "built-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(folder, "built-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("tiny.py", "VALUE = " + repr(json.dumps(dict(os.environ)).replace(" ", "")))
        wheel.writestr(f"{described}/METADATA", "Metadata-Version: 2.1\\nName: built\\nVersion: 1.0\\n")
        wheel.writestr(f"{described}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{described}/RECORD", "")
    open(WITNESS, "w").write("built")
    return "built-1.0-py3-none-any.whl"
get_requires_for_build_editable, build_editable = get_requires_for_build_wheel, build_wheel
"""
"""A build that needs nothing, keeps the environment that it saw as the module's value, and leaves a trace."""


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A project `built` and its source distribution among the wheels; the file that is there once it was built."""
    witness, project = tmp_path / "witness", tmp_path / "built"
    project.mkdir()
    (project / "backend.py").write_text(f"WITNESS = {str(witness)!r}\n{BACKEND}")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "built"\nversion = "1.0"\n'
    )
    (project / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: built\nVersion: 1.0\n")
    make_wheel(tmp_path / "wheels", "tiny", {"tiny.py": "VALUE = 42\n"})
    with tarfile.open(tmp_path / "wheels" / "built-1.0.tar.gz", "w:gz") as archive:
        archive.add(project, "built-1.0")
    return witness


def test_for_lock__a_build_sees_nothing_of_the_job_but_the_way_to_an_index(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = (
        *("GITHUB_TOKEN", "GH_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "INPUT_GITHUB_TOKEN"),
        *("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AZURE_CLIENT_SECRET", "GOOGLE_APPLICATION_CREDENTIALS"),
        *("HF_TOKEN", "SLIPWAY_CREDENTIALS", "MY_PASSWORD", "UV_PUBLISH_TOKEN", "RUNNER_TEMP"),
    )
    for name in secrets:
        monkeypatch.setenv(name, "job-secret")
    given = {"UV_INDEX_TEAM_PASSWORD": "index-secret", "NO_PROXY": "index.invalid", "CFLAGS": "-O2", "HOME": "/nowhere"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    lock = tmp_path / "lock.txt"
    lock.write_text("built==1.0\n")
    seen = json.loads(value_of(environments.for_lock(lock)))
    assert built.exists()
    assert "job-secret" not in seen.values()
    assert not set(secrets) & set(seen)
    assert {name: seen[name] for name in given} == given


@pytest.mark.parametrize(
    "text",
    [
        "built==1.0\n",
        "--only-binary :none:\nbuilt==1.0\n",
        "built @ {folder}/wheels/built-1.0.tar.gz\n",
        "{folder}/built\n",
        "built @ file://{folder}/built\n",
    ],
)
def test_for_lock__without_builds_a_package_without_a_wheel_is_refused(text: str, built: Path, tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(text.format(folder=tmp_path))
    with pytest.raises(RemoteError, match="could not be installed") as caught:
        environments.for_lock(lock, builds=False)
    assert "disabled" in caught.value.why
    assert "`builds: allow`" in caught.value.fix
    assert not built.exists()


@pytest.mark.parametrize(
    "text",
    [
        "-e {folder}/built\n",
        " \t-e {folder}/built\n",
        "\f-e {folder}/built\n",
        "\ufeff-e {folder}/built\n",
        "\\\n-e {folder}/built\n",
        "tiny==1.0\r-e {folder}/built\n",
        "# a comment \\\n-e {folder}/built\n",
        "--editable={folder}/built\n",
        "--editable {folder}/built\n",
        "--no-binary built\nbuilt==1.0\n",
        "--no-binary :all:\nbuilt==1.0\n",
        "--no-index\n--no-binary=built\nbuilt==1.0\n",
        "-r other.txt\n",
        "--requirement other.txt\n",
        "-c other.txt\nbuilt==1.0\n",
        "-c absent.txt\ntiny==1.0\n",
        "-c {folder}/constraints.txt\ntiny==1.0\n",
        "-c\nconstraints.txt\ntiny==1.0\n",
        "-c lock.txt\ntiny==1.0\n",
        "--extra-index-url https://index.invalid/${{UV_INDEX_TEAM_PASSWORD}}/\ntiny==1.0\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_for_lock__without_builds_no_option_opens_a_way(text: str, encoding: str, built: Path, tmp_path: Path) -> None:
    """uv builds past `--no-build` what is editable, and what `--no-binary` names; and it reads UTF-16."""
    lock = tmp_path / "lock.txt"
    (tmp_path / "other.txt").write_text(f"-e {tmp_path}/built\n--no-binary built\n")
    (tmp_path / "constraints.txt").write_text("tiny==1.0\n")
    lock.write_bytes(text.format(folder=tmp_path).encode(encoding))
    with pytest.raises(InputError) as caught:
        environments.for_lock(lock, builds=False)
    assert "`builds: allow`" in caught.value.fix
    assert not built.exists()


def test_for_lock__without_builds_wheels_are_installed(lock: Path, tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("tiny<2  # and not -e\n")
    lines = f"# -e in a comment\n-c constraints.txt\n--find-links {tmp_path}/wheels\ntiny # via -r requirements.in\n"
    lock.write_text(lines)
    assert value_of(environments.for_lock(lock, builds=False)) == "42"


@pytest.fixture
def no_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without uv; the locked one is a wheel made here. Returns its wheel."""
    locks = tmp_path / "requirements"
    locks.mkdir()
    files = {"uv-1.0.data/scripts/uv": "#!python\nprint('uv of the lock')\n"}
    (locks / "uv.txt").write_text(make_wheel(tmp_path / "wheels", "uv", files), encoding="utf-8")
    monkeypatch.setattr(environments, "LOCKS", locks)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    return tmp_path / "wheels" / "uv-1.0-py3-none-any.whl"


def test_find_uv__the_one_on_the_path_is_taken(uv: str) -> None:
    assert environments.find_uv() == uv


def test_find_uv__is_brought_by_pip_once(no_uv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Settings for the caller's own installs, each of which would break ours.
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_DRY_RUN", "1")
    found = environments.find_uv()
    no_uv.unlink()
    assert environments.find_uv() == found
    assert subprocess.run([found], capture_output=True, text=True, check=True).stdout == "uv of the lock\n"


def test_find_uv__another_file_than_the_locked_one_is_refused(no_uv: Path, tmp_path: Path) -> None:
    make_wheel(no_uv.parent, "uv", {"uv-1.0.data/scripts/uv": "#!python\nprint('evil')\n"})
    with pytest.raises(RemoteError) as caught:
        environments.find_uv()
    assert "hash" in caught.value.why.lower()
    assert not list((tmp_path / "home" / "uv").glob("*/slipway-complete"))


def test_find_uv__what_was_half_installed_is_installed_again(no_uv: Path) -> None:
    found = Path(environments.find_uv())
    (found.parents[1] / "slipway-complete").unlink()
    found.write_text("half a progr", encoding="utf-8")
    assert environments.find_uv() == str(found)
    assert subprocess.run([found], capture_output=True, text=True, check=True).stdout == "uv of the lock\n"


def test_clean_environ__leads_no_process_back_into_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    for name in (*ours, "PYTHONUNBUFFERED"):
        monkeypatch.setenv(name, "1")
    found = environments.clean_environ()
    assert not set(ours) & set(found)
    assert found["PYTHONUNBUFFERED"] == "1"


def test_environment_digest__names_python_machine_and_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    first = environments.environment_digest(b"lock")
    assert environments.environment_digest(b"lock") == first
    assert environments.environment_digest(b"other") != first
    monkeypatch.setattr("platform.machine", lambda: "riscv128")
    assert environments.environment_digest(b"lock") != first
