// Examples are chosen by buttons that come and go; this element stays. `trigger` is Gradio's, of this component.

window.lungfusion_example = name => trigger("click", {example: name});
