"""A JupyterHub on loopback with real accounts, and students who use it as a browser would.

The Hub runs in namespaces of its own (mounts and processes): accounts, homes and processes that the class needs
exist there only, and are gone when the Hub is ended.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import uuid
from pathlib import Path

import psutil
import requests
import websocket

PROJECT = Path(__file__).parents[2]
TEACHING = PROJECT / "notebooks" / "teaching"
SLOW = 600  # seconds after which what has not come will not come: twelve servers start at once, on two cores

# What runs inside the namespaces. Homes lie in memory, /etc is a copy. Where the project or Python lies below a folder
# that only root may enter, that folder is covered, for the students must be able to start it.
START = r"""
set -euo pipefail
umask 022
cd "$WORK"
mkdir etc kept-0 kept-1
cp -a /etc/. etc
mount --bind etc /etc
mount -t tmpfs -o mode=755 tmpfs /home
kept=("$PROJECT" "$PYTHON_HOME")
for i in 0 1; do mount --bind "${kept[i]}" "kept-$i"; done
for i in 0 1; do
    folder=""
    IFS=/ read -ra parts <<< "${kept[i]#/}"
    for part in "${parts[@]}"; do
        folder="$folder/$part"
        [[ -d $folder ]] || break  # covered already
        if (( 8#$(stat -c %a "$folder") % 2 == 0 )); then
            mount -t tmpfs -o mode=755 tmpfs "$folder"
            break
        fi
    done
done
for i in 0 1; do
    mkdir -p "${kept[i]}"
    mount --bind "kept-$i" "${kept[i]}"
done
for closed in notebooks/solutions tests .git; do  # whose rights are about to be changed: copies
    [[ -e $PROJECT/$closed ]] || continue
    cp -a "$PROJECT/$closed" closed-copy
    mount --bind closed-copy "$PROJECT/$closed"
    mv closed-copy "closed-${closed//\//-}"
done
"$TEACHING/make_accounts.sh" class.txt > passwords.txt
exec "$PYTHON" -m jupyterhub -f "$TEACHING/jupyterhub_config.py" "$@"
"""


def why_not_here():
    """Return the reason why a class cannot be held on this machine, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux and root: it makes accounts for students"
    if shutil.which("configurable-http-proxy") is None:
        return "needs the npm package configurable-http-proxy"
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False).returncode:
        return "needs namespaces (unshare), which this machine does not allow"
    return None


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Hub:
    """A running JupyterHub with an account for each of `names`."""

    def __init__(self, folder, names):
        self.folder = Path(folder)
        self.folder.chmod(0o755)
        (self.folder / "class.txt").write_text("\n".join(names) + "\n")
        port, hub_port, proxy_port = free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        options = [
            f"--JupyterHub.bind_url={self.url}",
            f"--JupyterHub.hub_port={hub_port}",
            f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{proxy_port}",
        ]
        python_home = Path(sys.executable).resolve().parents[1]
        environment = os.environ | {
            "WORK": str(self.folder),
            "PROJECT": str(PROJECT),
            "TEACHING": str(TEACHING),
            "PYTHON": sys.executable,
            "PYTHON_HOME": str(python_home),
        }
        # Should this process die, however it does, the Hub dies with it.
        namespaces = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
        ]
        self.log = (self.folder / "hub.log").open("w")
        self.process = subprocess.Popen(
            [*namespaces, "bash", "-c", START, "start", *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        wait_until(self.answers, SLOW, "the Hub did not start")
        self.passwords = dict(line.split() for line in (self.folder / "passwords.txt").read_text().splitlines())

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "hub.log").read_text()[-3000:])
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"{self.url}/hub/health", timeout=5).ok
        return False

    def processes(self):
        """Return all processes of the class, by the pages that Linux counts for them: a list of (process, MB)."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
                memory = {line.split(":")[0]: int(line.split()[1]) / 1e3 for line in rollup.splitlines()[1:]}
                found.append((process, memory))
        return found

    def processes_of(self, name):
        """Return the processes of a student: their server and its kernels."""
        return [process for process, _ in self._owned_by(name)]

    def private_memory_of(self, name):
        """Return the MB that a student's processes share with nobody."""
        return sum(memory["Private_Clean"] + memory["Private_Dirty"] for _, memory in self._owned_by(name))

    def memory(self):
        """Return the MB of the Hub and all students; what several use is counted once."""
        return sum(memory["Pss"] for _, memory in self.processes())

    def _owned_by(self, name):
        owned = []
        for process, memory in self.processes():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("HOME") == f"/home/{name}":
                    owned.append((process, memory))
        return owned

    def close(self):
        self.process.send_signal(signal.SIGKILL)  # --kill-child: ends everything in the namespace
        self.process.wait()
        self.log.close()


class Student:
    """Somebody with a browser: logs in, gets a server, opens notebooks, runs cells, saves."""

    def __init__(self, hub, name):
        self.hub, self.name = hub, name
        self.browser = requests.Session()
        self.base = f"{hub.url}/user/{name}"

    def log_in(self):
        """Log in, and wait until the student's own server answers."""
        login = f"{self.hub.url}/hub/login"
        self.browser.get(login, timeout=SLOW)
        form = {"username": self.name, "password": self.hub.passwords[self.name], "_xsrf": self.token("/hub/")}
        answer = self.browser.post(f"{login}?next=/hub/home", data=form, timeout=SLOW)
        answer.raise_for_status()
        wait_until(self.has_server, SLOW, f"no server for {self.name}")

    def token(self, path):
        """Return the cookie that proves that a form comes from the page that showed it."""
        cookies = [cookie.value for cookie in self.browser.cookies if cookie.name == "_xsrf" and cookie.path == path]
        return urllib.parse.unquote(cookies[-1].strip('"'))

    def has_server(self):
        self.browser.get(f"{self.hub.url}/hub/spawn/{self.name}", timeout=SLOW)  # starts one where none is running
        answer = self.browser.get(f"{self.base}/lab", timeout=SLOW)  # asks the Hub who this is, and sets cookies
        return answer.ok and answer.url.startswith(f"{self.base}/lab")

    def ask(self, method, path, **keywords):
        """Return the answer of the student's server to a request."""
        headers = {"X-XSRFToken": self.token(f"/user/{self.name}/")}
        return self.browser.request(method, f"{self.base}/api/{path}", headers=headers, timeout=SLOW, **keywords)

    def open(self, path):
        """Return the notebook of that path in the student's home."""
        answer = self.ask("GET", f"contents/{path}")
        answer.raise_for_status()
        return answer.json()["content"]

    def save(self, path, notebook):
        body = {"type": "notebook", "format": "json", "content": notebook}
        self.ask("PUT", f"contents/{path}", json=body).raise_for_status()

    @contextlib.contextmanager
    def kernel(self, path="gpt/notebooks"):
        """Yield a function that runs code in a kernel of the student's own and returns what it printed."""
        answer = self.ask("POST", "kernels", json={"name": "python3", "path": path})
        answer.raise_for_status()
        kernel = answer.json()["id"]
        channel = self.connect(f"{self.base.replace('http', 'ws', 1)}/api/kernels/{kernel}/channels")
        try:
            yield lambda code: run(channel, code)
        finally:
            channel.close()
            self.ask("DELETE", f"kernels/{kernel}")

    def connect(self, address):
        """Return a websocket to a kernel that has answered; as JupyterLab does, try again where the server hangs up."""
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.browser.cookies)
        for attempts_left in (2, 1, 0):
            try:
                channel = websocket.create_connection(address, cookie=cookies, timeout=SLOW, origin=self.hub.url)
                run(channel, "")
                return channel
            except websocket.WebSocketException:
                if not attempts_left:
                    raise

    def run_notebook(self, notebook, execute):
        """Run a notebook's cells in order; return the texts that they printed."""
        return [execute("".join(cell["source"])) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(channel, code):
    """Run code through a kernel's websocket; return what it printed, and raise RuntimeError where it fails."""
    number = uuid.uuid4().hex
    header = {"msg_id": number, "msg_type": "execute_request", "session": number, "username": "", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    channel.send(json.dumps(message))
    printed = ""
    while True:
        answer = json.loads(channel.recv())
        if answer["parent_header"].get("msg_id") != number:
            continue
        kind, content = answer["header"]["msg_type"], answer["content"]
        if kind == "stream":
            printed += content["text"]
        elif kind == "error":
            raise RuntimeError(f"{content['ename']}: {content['evalue']}")
        elif kind == "status" and content["execution_state"] == "idle":
            return printed


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} within {seconds} s")
        time.sleep(0.2)
