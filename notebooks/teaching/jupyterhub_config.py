"""JupyterHub for a class on one Linux server: every student an account, a home and a server of their own.

    sudo .venv/bin/jupyterhub -f notebooks/teaching/jupyterhub_config.py

README.md in this folder says how to make the accounts, and how many students fit on a machine.
"""

import sys
from pathlib import Path

TEACHING = Path(__file__).resolve().parent
MEMORY = 2 * 2**30  # bytes of its own that each process of a student may have, so each notebook; a lesson needs 0.85 GB

c = get_config()  # noqa: F821 - JupyterHub gives it

c.JupyterHub.bind_url = "http://:8000"
c.ConfigurableHTTPProxy.command = ["configurable-http-proxy"]

# Students log in with the account that make_accounts.sh made. Nobody is let in who is not of that group.
c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.allowed_groups = {"students"}
c.PAMAuthenticator.open_sessions = False  # needs more rights than it gives here

# A server runs as the student, in the student's home, with the Python of this installation. A cell that asks for too
# much memory gets an error, and nobody else notices. (This kind of spawner knows no mem_limit.)
c.Spawner.cmd = ["prlimit", f"--data={MEMORY}", sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.default_url = "/lab/tree/gpt/notebooks/00_start_here.ipynb"
c.Spawner.environment = {
    # nbgrader's menu and its button Validate, which are a teacher's: a student would read "Success!" for a blank.
    "JUPYTER_CONFIG_PATH": str(TEACHING / "hub_settings"),
    "OMP_NUM_THREADS": "1",  # with more students than cores, more threads each make everybody slower
    "HF_HUB_OFFLINE": "1",  # thirty downloads of 548 MB at once would fill line and disk
}

# Where this folder is, students are asked whether they want to share their guesses; README.md says how to make it.
GUESSES = Path("/srv/gpt-guesses")
if GUESSES.is_dir():
    c.Spawner.environment["GPTCORE_CLASS"] = str(GUESSES)

# A whole class arrives within a minute. When all start at once, each takes longer.
c.JupyterHub.concurrent_spawn_limit = 30
c.Spawner.start_timeout = 180
c.Spawner.http_timeout = 120
c.Spawner.poll_interval = 5  # a server that died is noticed, and started anew at the next log-in

c.Spawner.args = [
    # Twelve kernels that start at once on two cores may need more than the usual minute until they answer;
    # after it the server would hang up, and a student would read "Disconnected".
    "--MappingKernelManager.kernel_info_timeout=600",
    # Memory comes back from those who went home: kernels after half an hour without use, then the server.
    "--MappingKernelManager.cull_idle_timeout=1800",
    "--MappingKernelManager.cull_interval=60",
    "--ServerApp.shutdown_no_activity_timeout=3600",
]
