// The lungs, cut out by the mask as alpha, on a background of one's choice: composited here, in the browser.
// `element` is the component that holds an answer.

{
  let ground = "";  // a colour, a picture, or nothing
  const box = () => element.querySelector(".cut-out");

  async function loaded(address) {
    const picture = new Image();
    picture.src = address;
    await picture.decode();
    return picture;
  }

  async function compose() {
    if (!box()?.open) return;
    const canvas = box().querySelector("canvas"), lungs = await file("cut_out").then(({href}) => loaded(href), () => null);
    if (!lungs) return;  // the radiograph is deleted, which the server has said, or another answer stands here
    const [width, height] = [lungs.naturalWidth, lungs.naturalHeight];
    Object.assign(canvas, {width, height});
    const context = canvas.getContext("2d");
    if (typeof ground === "string" && ground) {
      context.fillStyle = ground;
      context.fillRect(0, 0, width, height);
    } else if (ground) {  // as large as covers the radiograph
      const scale = Math.max(width / ground.naturalWidth, height / ground.naturalHeight);
      const [w, h] = [scale * ground.naturalWidth, scale * ground.naturalHeight];
      context.drawImage(ground, (width - w) / 2, (height - h) / 2, w, h);
    }
    context.drawImage(lungs, 0, 0);
  }

  function choose(chosen, button) {
    ground = chosen;
    for (const one of box().querySelectorAll("[data-ground]")) one.setAttribute("aria-pressed", String(one === button));
    return compose();
  }

  element.addEventListener("toggle", event => {
    if (!event.target.matches(".cut-out") || !event.target.open) return;
    ground = "";
    compose();
  }, true);
  element.addEventListener("input", event => {
    if (event.target.name === "ground") choose(event.target.value);
  });
  element.addEventListener("change", async event => {
    if (event.target.name !== "ground-picture" || !event.target.files.length) return;
    try {
      await choose(await loaded(URL.createObjectURL(event.target.files[0])));
    } catch {
      event.target.value = "";  // no picture that the browser can show
    }
  });
  element.addEventListener("click", event => {
    const button = event.target.closest(".cut-out button");
    if (!button) return;
    if ("ground" in button.dataset) choose(button.dataset.ground, button);
    if ("save" in button.dataset)
      box().querySelector("canvas").toBlob(async blob => {
        const {download} = await file("cut_out");
        save(download.replace("_cut_out.png", "_composite.png"), URL.createObjectURL(blob));
      });
  });
}
