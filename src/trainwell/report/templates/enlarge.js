(function () {
  // A button in each figure opens its picture in the whole window; Escape or a click closes it.
  var box = document.createElement("dialog");
  if (!box.showModal) return;
  box.id = "large";
  box.setAttribute("aria-label", "Enlarged picture");
  box.addEventListener("click", function () { box.close(); });
  document.body.appendChild(box);
  document.querySelectorAll("figure").forEach(function (figure) {
    if (!figure.querySelector("svg.plot")) return;
    var button = document.createElement("button");
    var words = figure.querySelector("figcaption, svg > title");
    button.type = "button";
    button.className = "enlarge";
    button.textContent = "⤢";
    button.setAttribute("aria-label", "Enlarge: " + (words ? words.textContent : "picture"));
    button.addEventListener("click", function () {
      var shown = Array.prototype.find.call(figure.querySelectorAll("svg.plot"), function (s) {
        return s.getClientRects().length;
      });
      var copy = shown.cloneNode(true);
      copy.removeAttribute("aria-labelledby");
      copy.setAttribute("aria-label", words ? words.textContent : "picture");
      copy.querySelectorAll("[id]").forEach(function (e) { e.removeAttribute("id"); });
      copy.style.maxWidth = "none";
      box.replaceChildren(copy);
      box.showModal();
    });
    figure.appendChild(button);
  });
})();
