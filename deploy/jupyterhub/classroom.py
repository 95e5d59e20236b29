"""What a JupyterHub needs for a class, whichever way it is installed.

The Littlest JupyterHub reads this file from /opt/tljh/config/jupyterhub_config.d/, Zero to
JupyterHub gets it with --set-file (README.md says how), and bench/hub.py loads it for its own
measurements. How much memory and CPU a student gets stands in tljh.yaml and values.yaml, since
only these engines can hold a student to it.
"""

# ruff: noqa: F821  # `c` is there: both engines define it, but only one has get_config()

# A hub that is restarted, after a change of this file for example, leaves all kernels running.
c.JupyterHub.cleanup_servers = False

# All of a class comes in the same minute, and PyTorch is large: be patient rather than give up.
c.Spawner.start_timeout = 300  # s
c.Spawner.http_timeout = 120

# PyTorch would start one thread a core in every kernel: students would wait for one another, and
# the numbers of a lecture are too small to gain from it.
c.Spawner.environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

c.Spawner.default_url = "/lab"
c.Spawner.args = [
    # A notebook that nobody has open any more gives its memory back after half an hour; one in an
    # open tab is kept, since its reader may be thinking.
    "--MappingKernelManager.cull_idle_timeout=1800",
    "--MappingKernelManager.cull_interval=300",
    "--MappingKernelManager.cull_connected=False",
]

# The Littlest JupyterHub only: each student sees a /tmp of their own.
c.SystemdSpawner.isolate_tmp = True
