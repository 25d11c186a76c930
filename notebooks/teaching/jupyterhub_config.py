"""JupyterHub for a class on one Linux server: every student an account, a home and a server of their own.

    sudo .venv/bin/jupyterhub -f notebooks/teaching/jupyterhub_config.py

README.md in this folder says how to make the accounts, and how many students fit on a machine.
"""

import sys

c = get_config()  # noqa: F821 - JupyterHub gives it

c.JupyterHub.bind_url = "http://:8000"
c.ConfigurableHTTPProxy.command = ["configurable-http-proxy"]

# Students log in with the account that make_accounts.sh made. Nobody is let in who is not of that group.
c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.allowed_groups = {"students"}
c.PAMAuthenticator.open_sessions = False  # needs more rights than it gives here

# A server runs as the student, in the student's home, with the Python of this installation.
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.default_url = "/lab/tree/gpt/notebooks/00_start_here.ipynb"
c.Spawner.environment = {
    "OMP_NUM_THREADS": "1",  # with more students than cores, more threads each make everybody slower
    "HF_HUB_OFFLINE": "1",  # thirty downloads of 548 MB at once would fill line and disk
}

# A whole class arrives within a minute. When all start at once, each takes longer.
c.JupyterHub.concurrent_spawn_limit = 30
c.Spawner.start_timeout = 180
c.Spawner.http_timeout = 120
c.Spawner.poll_interval = 5  # a server that died is noticed, and started anew at the next log-in

# Memory comes back from those who went home: kernels after half an hour without use, then the server.
c.Spawner.args = [
    "--MappingKernelManager.cull_idle_timeout=1800",
    "--MappingKernelManager.cull_interval=60",
    "--ServerApp.shutdown_no_activity_timeout=3600",
]
