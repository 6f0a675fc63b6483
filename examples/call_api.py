"""Ask a running app, here or on Spaces: python examples/call_api.py APP IMAGE

APP is an address such as http://127.0.0.1:7860, or OWNER/NAME of a Space. It needs `pip install gradio_client`.
"""

import sys

from gradio_client import Client, handle_file


def main(app, image):
    analysis = Client(app, verbose=False).predict(radiograph=handle_file(image), api_name="/analyze")
    for warning in analysis["warnings"]:
        print(warning["sentence"])
    for finding in analysis["findings"]:
        share = "" if finding["probability"] is None else f"{finding['probability']:.1%}, "
        print(f"{finding['name']}: {share}{finding['level'].replace('_', ' ')}")
    return analysis


if __name__ == "__main__":
    main(*sys.argv[1:])
