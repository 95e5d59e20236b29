"""JupyterLab for the lecture hall: `make present` starts it with this file."""

from pathlib import Path

from traitlets.config import get_config

HERE = Path(__file__).parent.resolve()
OWN = HERE.parents[1] / "build" / "present"  # so that the user's own settings stay as they are

c = get_config()
c.LabApp.app_settings_dir = str(HERE)  # overrides.json: keys, wrapped lines of code
c.LabApp.user_settings_dir = str(OWN / "settings")
c.LabApp.workspaces_dir = str(OWN / "workspaces")
c.LabApp.custom_css = True
c.ServerApp.tornado_settings = {"static_custom_path": [str(HERE)]}  # custom.css: how slides look
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"  # it works without a network
