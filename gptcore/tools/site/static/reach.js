// What can only be seen by scrolling sideways can be scrolled by keys, too.
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
document.querySelectorAll("pre, .formula, .table-wrapper, .output").forEach((part) => sizes.observe(part));
