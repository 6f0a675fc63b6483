"""The web app. Only modules of this folder import gradio, and importing the folder does not."""
