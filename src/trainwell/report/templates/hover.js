(function () {
  // Titles inside the pictures become one quick note beside the pointer; without this script
  // the browser shows them by itself.
  var tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.appendChild(tip);
  document.querySelectorAll(".plot > * > title").forEach(function (title) {
    var owner = title.parentNode;
    owner.dataset.tip = title.textContent;
    title.remove();
  });
  document.addEventListener("pointermove", function (event) {
    var owner = event.target.closest && event.target.closest("[data-tip]");
    tip.hidden = !owner;
    if (!owner) return;
    tip.textContent = owner.dataset.tip;
    var right = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = Math.max(8, Math.min(event.pageX + 14, right)) + "px";
    tip.style.top = event.pageY + 18 + "px";
  });
})();
