"""Try the Space as the Hub builds it: python -m tests.benchmarks.space

A folder with the Space's files alone, a new virtual environment with its requirements.txt alone, and `app.py` started
there, offline and with a model that can't be reached if LUNGFUSION_MODEL names one. Takes minutes and the network.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests.support.app_server import Served, free_port, wait_for
from train.publish.space import space_files


def main():
    with tempfile.TemporaryDirectory() as folder:
        place, environment = Path(folder) / "space", Path(folder) / "venv"
        for name, path in space_files().items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place / name)
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", place / "requirements.txt"], check=True)
        print(subprocess.run([python, "-m", "pip", "check"], capture_output=True, text=True).stdout)
        start(python, place)


def start(python, place):
    """Start app.py and ask it about one of its drawings."""
    port = free_port()
    settings = {"GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    log = place / "log"
    with log.open("w") as output:
        app = subprocess.Popen([python, "app.py"], cwd=place, env=clean | settings, stdout=output, stderr=output)
    try:
        wait_for(Served(f"http://127.0.0.1:{port}", app, place, log))
        drawing = place / "examples" / "radiographs" / "phantom_clear.png"
        call = f"from gradio_client import Client, handle_file as f; print(Client('http://127.0.0.1:{port}', "
        call += f"verbose=False).predict(radiograph=f({str(drawing)!r}), api_name='/analyze'))"
        answer = subprocess.run([python, "-c", call], capture_output=True, text=True)
        print(answer.stdout, answer.stderr, log.read_text())
    finally:
        app.terminate()
        app.wait(30)
    if answer.returncode or "findings" not in answer.stdout:
        sys.exit("The Space does not answer.")


if __name__ == "__main__":
    main()
