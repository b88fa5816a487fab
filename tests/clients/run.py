#!/usr/bin/env python3
"""Published clients against a live `dodona demo`: each line printed is a claim that held.

    tests/clients/run.py target/debug/dodona [claim ...]

Installs the clients from their registries into target/clients, starts the demo on the ports that
`AlloraNetworkConfig.local()` expects, runs everything, and stops the demo. Exit code 0: every claim held.
"""

import hashlib
import json
import os
import pathlib
import pty
import secrets
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHARED = pathlib.Path(os.environ.get("DODONA_SHARED", ROOT.parent / "shared"))
TOOLS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "clients"
PYTHON = TOOLS / "sdk" / "bin" / "python"
GENERIC = TOOLS / "generic" / "bin"
GRPC, RPC, REST = "127.0.0.1:9090", "127.0.0.1:26657", "127.0.0.1:1317"
ALLO = 10**18


class Failed(Exception):
    """A claim that did not hold."""


def install() -> None:
    TOOLS.mkdir(parents=True, exist_ok=True)
    # Whoever changes a list of clients gets a fresh installation.
    lists = [HERE / name for name in ("requirements.txt", "tools.txt", "package.json")]
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in lists)).hexdigest()
    mark = TOOLS / "installed"
    if mark.exists() and mark.read_text() == wanted:
        return
    shutil.rmtree(TOOLS)
    TOOLS.mkdir(parents=True)
    for name, wishes in (("sdk", "requirements.txt"), ("generic", "tools.txt")):
        subprocess.run([sys.executable, "-m", "venv", TOOLS / name], check=True)
        pip = [TOOLS / name / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", HERE / wishes], check=True)
    shutil.copy(HERE / "package.json", TOOLS)
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=TOOLS, check=True)
    mark.write_text(wanted)


def key(name: str) -> str:
    """Secret of a participant of the demo with seed 1."""
    text = b"dodona demo key" + struct.pack(">Q", 1) + struct.pack(">I", 0) + name.encode()
    return hashlib.sha256(text).hexdigest()


def output(command: list, seconds: float, **options) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, **options)
    except (OSError, subprocess.TimeoutExpired) as late:
        raise Failed(f"{late}" if isinstance(late, OSError) else f"no end after {seconds} s: {(late.stderr or b'')[-2000:]}") from late
    if done.returncode != 0:
        raise Failed(f"exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def last_json(text: str):
    return json.loads(text.strip().splitlines()[-1])


def get(path: str) -> dict:
    with urllib.request.urlopen(f"http://{REST}{path}", timeout=10) as answer:
        return json.load(answer)


class Demo:
    """The program as its user starts it, its output in a file."""

    def __init__(self, program: str) -> None:
        for address in (GRPC, RPC, REST):
            host, port = address.split(":")
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    raise Failed(f"{address} is taken: stop what listens there, clients expect the demo")
        self.log = tempfile.TemporaryFile("w+")
        arguments = [program, "demo", "--replay", "30", "--epochs", "5000"]
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        # Behind the replay blocks come once a second.
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            self.log.seek(0)
            if "epoch 3" in self.log.read():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        self.stop()
        raise Failed("the demo did not begin to live")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired as late:
            self.process.kill()
            raise Failed("the demo did not stop within 20 s of Ctrl-C") from late
        if code != 0:
            self.log.seek(0)
            raise Failed(f"the demo ended with {code}: {self.log.read()[-2000:]}")


def sdk(*arguments: str, seconds: float = 200) -> dict:
    command = [PYTHON, SHARED / "wire" / "sdk_client.py", "--grpc", GRPC, "--ws", f"ws://{RPC}/websocket",
               "--chain-id", "localnet", *arguments]
    return last_json(output(command, seconds))


def newcomer() -> str:
    """The SDK asks for a mnemonic on a terminal; the newcomer presses Enter, watches two answers arrive, and leaves."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "newcomer.py", folder)
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(folder)
            os.execv(PYTHON, [str(PYTHON), "newcomer.py"])
        text, answered, deadline = "", False, time.monotonic() + 90
        while text.count("Prediction submitted") < 2 and time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                text += os.read(terminal, 4096).decode(errors="replace")
            except OSError:  # it ended
                break
            if not answered and "Mnemonic: " in text:
                time.sleep(0.5)
                os.write(terminal, b"\n")
                answered = True
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    if text.count("Prediction submitted") < 2:
        raise Failed(text[-3000:])
    return "two predictions counted"


def addresses(*secrets: str) -> list[str]:
    program = (
        "import json, sys; from allora_sdk import *; network = AlloraNetworkConfig.local(); "
        "of = lambda key: AlloraRPCClient(wallet=AlloraWalletConfig(private_key=key), network=network).address; "
        "print(json.dumps([of(key) for key in sys.argv[1:]]))"
    )
    return last_json(output([PYTHON, "-c", program, *secrets], 60))


def three_roles() -> str:
    made = sdk("--private-key", key("consumer"), "--create-topic", "--epoch-length", "10", "--window", "5",
               "--skip", "worker", "--skip", "events")
    topic = str(made["topic"])
    keys = {role: secrets.token_hex(32) for role in ("inferer", "forecaster", "reputer")}
    inferer, reputer = addresses(keys["inferer"], keys["reputer"])
    extra = {
        "inferer": ["--submissions", "6", "--autostake-reputer", reputer, "--skip", "queries", "--skip", "send"],
        "forecaster": ["--submissions", "5", "--forecast-for", inferer, "--skip", "queries", "--skip", "send"],
        "reputer": ["--submissions", "4", "--min-stake", str(ALLO), "--skip", "queries", "--skip", "send"],
    }
    results: dict[str, object] = {}

    def play(role: str) -> None:
        try:
            results[role] = sdk("--private-key", keys[role], "--topic", topic, "--role", role, "--timeout", "180",
                                *extra[role], seconds=240)
        except Exception as error:  # told below, on the main thread
            results[role] = error

    threads = [threading.Thread(target=play, args=(role,), daemon=True) for role in keys]
    # The reputer begins: autostake wants to find it there.
    for thread in reversed(threads):
        thread.start()
        deadline = time.monotonic() + 60
        while not get(f"/emissions/v10/reputer_registered/{topic}/{reputer}")["is_registered"]:
            if time.monotonic() > deadline:
                raise Failed("the reputer did not register")
            time.sleep(0.2)
    for thread in threads:
        thread.join()
    for role, result in results.items():
        if isinstance(result, Exception):
            raise Failed(f"{role}: {result}")
    epochs = get(f"/topics/{topic}/epochs?from=0&limit=50")["epochs"]
    paid = [e for e in epochs if e["state"] == "scored" and any(int(p["reward"]) > 0 for p in e["parts"])]
    if len(paid) < 3:
        raise Failed(f"only {len(paid)} epochs of topic {topic} were paid: {json.dumps(epochs)[:2000]}")
    # Topics made by this SDK pay everybody something, so there is something to delegate.
    delegated = int(get(f"/emissions/v10/reputer_delegate_stake/{reputer}/{topic}")["amount"])
    if delegated <= 0:
        raise Failed(f"nothing was delegated to {reputer}: {results['inferer']}")
    return f"topic {topic}: {len(paid)} epochs scored and paid, {delegated} uallo of pay delegated"


def faults() -> str:
    told = json.loads(output([PYTHON, HERE / "faults.py"], 240))
    return f"{len(told['rows'])} rows"


def cosmjs(endpoint: str) -> str:
    shutil.copy(SHARED / "wire" / "cosmjs_client.mjs", TOOLS)
    told = last_json(output(["node", "cosmjs_client.mjs", endpoint, key("consumer")], 90, cwd=TOOLS))
    missing = [name for name, step in told["steps"].items() if not step["ok"]]
    if missing:
        raise Failed(f"{missing}: {told}")
    return f"{len(told['steps'])} steps"


def comet() -> str:
    shutil.copy(HERE / "comet.mjs", TOOLS)
    return output(["node", "comet.mjs", RPC, key("consumer")], 120, cwd=TOOLS).strip().splitlines()[-1]


def cosmpy() -> str:
    told = last_json(output([PYTHON, HERE / "cosmpy_send.py", GRPC], 90))
    return f"{told['received']} uallo received, {len(told['validators'])} validator(s) read"


def cosmpy_stakes() -> str:
    told = last_json(output([PYTHON, HERE / "cosmpy_stake.py", GRPC], 150))
    return f"{told['staked']} uallo with {told['moniker']}, {told['collected']} collected, gas {told['gas']}"


def cosmjs_stakes() -> str:
    shutil.copy(HERE / "stake.mjs", TOOLS)
    return output(["node", "stake.mjs", f"http://{RPC}"], 240, cwd=TOOLS).strip().splitlines()[-1]


def reflection() -> str:
    told = last_json(output([GENERIC / "python", HERE / "reflect.py", GRPC], 60))
    return f"{told['services']} services described"


def openapi() -> str:
    command = [GENERIC / "st", "run", f"http://{REST}/openapi.json", "--url", f"http://{REST}",
               "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
               # One worker: the ast module of Python 3.11 counts its depth for all threads together, and two that describe
               # their tests at the same moment end the run with "recursion depth mismatch".
               "--max-examples", "5", "--workers", "1", "--request-timeout", "12", "--seed", "1", "--no-shrink",
               "--suppress-health-check", "all", "--continue-on-failure", "--phases", "fuzzing,coverage",
               "--max-time", "60", "--warnings", "off", "--no-color"]
    return output(command, 600).strip().splitlines()[-1].strip("= ")


CLAIMS = {
    "newcomer: the SDK's first page with local() submits": newcomer,
    "three roles on one topic are paid for three epochs, and autostake delegates pay": three_roles,
    "faults end as the SDK means them to, without its 30 s stall": faults,
    "CosmJS over HTTP": lambda: cosmjs(f"http://{RPC}"),
    "CosmJS over websocket": lambda: cosmjs(f"ws://{RPC}"),
    "CosmJS reads every method of the RPC": comet,
    "cosmpy sends tokens": cosmpy,
    "cosmpy stakes, sees rewards grow, collects them and takes stake back": cosmpy_stakes,
    "CosmJS does so too, signing bytes and as hardware wallets sign; its decoders read every query": cosmjs_stakes,
    "a generic client calls a method by reflection": reflection,
    "no request of the OpenAPI page breaks the gateway": openapi,
}


def main() -> int:
    program, chosen = sys.argv[1], sys.argv[2:]
    if not (SHARED / "wire" / "sdk_client.py").exists():
        print("skipped: the client programs of ../shared are absent")
        return 0
    install()
    demo, failed = Demo(program), 0
    try:
        for claim, check in CLAIMS.items():
            if chosen and not any(word in claim for word in chosen):
                continue
            started = time.monotonic()
            try:
                told, mark = check(), "ok    "
            except Failed as error:
                told, mark, failed = str(error), "FAILED", failed + 1
            print(f"{mark} {claim}: {told} ({time.monotonic() - started:.1f} s)", flush=True)
    finally:
        demo.stop()
    return 1 if failed else 0


sys.exit(main())
