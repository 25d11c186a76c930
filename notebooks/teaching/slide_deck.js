const slides = [...document.querySelectorAll("section")];
const largest = 1.2, smallest = 0.6; // size of the type

/* The slide that is seen. */
function here() {
  const distance = (slide) => Math.abs(slide.getBoundingClientRect().top);
  return slides.reduce((best, slide, place) => (distance(slide) < distance(slides[best]) ? place : best), 0);
}

function go(place) {
  const slide = slides[Math.max(0, Math.min(place, slides.length - 1))];
  location.replace(`#${slide.id}`); // so that a page that is loaded again comes back to it
  slide.scrollIntoView();
  slide.focus({ preventScroll: true });
}

/* As large as there is room for, which depends on the system's fonts, too; a picture has the room before its text. */
function fit() {
  for (const slide of slides) {
    const body = slide.querySelector(".body");
    const too_full = () => [body, slide].some((box) =>
      box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1);
    for (let size = body.querySelector("img") ? 1 : largest; size >= smallest; size -= 0.05) {
      slide.style.setProperty("--fit", size.toFixed(2));
      if (!too_full()) break;
    }
  }
}

const keys = {
  ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, Enter: 1,
  ArrowLeft: -1, ArrowUp: -1, PageUp: -1, Home: -Infinity, End: Infinity,
};

addEventListener("keydown", (event) => {
  const on_button = event.target.closest("button") && [" ", "Enter"].includes(event.key);
  if (!(event.key in keys) || on_button || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  go(here() + (event.key === " " && event.shiftKey ? -1 : keys[event.key]));
});
document.querySelector("nav").hidden = false;
document.querySelector("#previous").addEventListener("click", () => go(here() - 1));
document.querySelector("#next").addEventListener("click", () => go(here() + 1));
addEventListener("resize", fit);
fit();
