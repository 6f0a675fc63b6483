"""Colours and fonts of the page; what Gradio does not know of is in view/style.css."""

import gradio as gr

THEME = gr.themes.Base(
    primary_hue="sky", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_400",
    button_primary_background_fill="#005a8d",
    button_primary_background_fill_hover="#00456d",
    button_primary_background_fill_dark="#005a8d",
    button_primary_background_fill_hover_dark="#00456d",
    button_primary_text_color="white",
    button_primary_text_color_dark="white",
)
