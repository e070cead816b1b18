"""Everything that is done to this repository, one session each. `nox --list` shows them."""

import sys

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True

PLUGINS = ("pocket", "wan", "taehv", "self-forcing", "causal-forcing", "serve")
FOLDERS = ("flashdreams-core", *(f"flashdreams-plugins/flashdreams-{name}" for name in PLUGINS))
PACKAGES = tuple(word for folder in FOLDERS for word in ("-e", folder))
TRAINING = ("-e", "flashdreams-plugins/flashdreams-pocket[train]")
TRITON = "triton; sys_platform == 'linux'"
SITE = ("sphinx", "myst-parser", "furo")
TEST_TOOLS = (
    *("pytest", "pytest-xdist", "hypothesis", "mypy", "types-PyYAML"),
    *("hatchling", "twine", "ruff"),
    *("diffusers", "peft"),
    *("schemathesis", "httpx2"),
    *SITE,
    TRITON,
)
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def install(session: nox.Session, *requirements: str) -> None:
    """Install into the session's environment, at the versions that are tested."""
    session.install("-q", "-c", "constraints.txt", *requirements)


@nox.session(venv_backend="none")
def demo(session: nox.Session) -> None:
    """Install into the environment that runs nox, and dream a ten-second drive."""
    pip = (sys.executable, "-m", "pip", "install", "-q", "-c", "constraints.txt")
    session.run(*pip, *PACKAGES, external=True)
    session.run(sys.executable, "-m", "flashdreams", "run", "pocket-racer", *session.posargs, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests that take seconds each, on two processes."""
    install(session, *PACKAGES, *TRAINING, *TEST_TOOLS)
    session.run("pytest", "-n", "2", "-m", "not slow", *session.posargs, env=ONE_THREAD)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the tests that take minutes: long rollouts, whole installations, and pages in a browser."""
    install(session, *PACKAGES, *TRAINING, *TEST_TOOLS, "playwright")
    session.run("pytest", "-m", "slow", *session.posargs, env=ONE_THREAD)


@nox.session
def soak(session: nox.Session) -> None:
    """Let clients of all kinds loose on a server for 20 minutes; nothing may be lost, or left behind."""
    install(session, *PACKAGES, *TEST_TOOLS)
    script = "flashdreams-plugins/flashdreams-serve/tests/soak/run.py"
    session.run("python", script, *(session.posargs or ["--minutes", "20"]), env=ONE_THREAD)


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, *PACKAGES, "mypy", "types-PyYAML")
    session.run("mypy", *(f"{folder}/src" for folder in FOLDERS))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    install(session, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def docs(session: nox.Session) -> None:
    """Write the pages that are generated from the code, and build the site in docs/_build/html."""
    install(session, *PACKAGES, *SITE, TRITON)
    session.run("python", "docs/generate.py", *session.posargs)
    session.run("python", "docs/kernel_table.py")
    strict = ("-q", "-W", "--keep-going", "-d", "docs/_build/read")
    session.run("sphinx-build", *strict, "docs", "docs/_build/html")


@nox.session
def parity(session: nox.Session) -> None:
    """Measure how near the models are to the published ones, and write the table."""
    install(session, *PACKAGES, *TRAINING, *TEST_TOOLS)
    report = f"{session.create_tmp()}/report.xml"
    session.run("pytest", "-n", "2", "-m", "not slow", "--junitxml", report, env=ONE_THREAD)
    session.run("python", "docs/parity.py", report)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the small slugs, the engine and the start of the command line, on this machine as it is now."""
    install(session, *PACKAGES, "diffusers")
    for slug in ("pocket-racer", "self-forcing-tiny"):
        session.run("flashdreams", "bench", slug, env=ONE_THREAD)
    for script in ("pocket_racer", "engine_overhead", "engine_compile"):
        session.run("python", f"benchmarks/{script}.py", env=ONE_THREAD)
    session.run("python", "benchmarks/list_startup.py")


@nox.session
def gpu(session: nox.Session) -> None:
    """Check on a machine with a card what cannot be known without one; elsewhere, say so."""
    install(session, *PACKAGES, TRITON)
    session.run("python", "benchmarks/gpu_checks.py", *session.posargs)
