// A click on an example tells the server which one it is. `element` is the component that holds the buttons.

element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  window.lungfusion?.address({example: button.dataset.title});
  trigger("click", {example: button.value});
});
