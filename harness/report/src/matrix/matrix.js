"use strict";
const form = document.getElementById("filters");
const table = document.getElementById("matrix");
// Columns before those of the stacks: the case and its level.
const BEFORE = 2;
function apply() {
  const suite = form.elements.suite.value;
  const level = form.elements.level.value;
  const only = form.elements.differences.checked;
  const boxes = [...form.querySelectorAll("input[name=stack]")];
  const visible = boxes.map((box) => box.checked);
  let shown = 0;
  for (const body of table.tBodies) {
    let rows = 0;
    for (const row of body.rows) {
      if (row.className === "suite") continue;
      const holds = new Set();
      visible.forEach((show, at) => {
        const cell = row.cells[at + BEFORE];
        cell.hidden = !show;
        if (show && cell.dataset.holds) holds.add(cell.dataset.holds);
      });
      const differs = holds.size > 1;
      row.classList.toggle("differs", differs);
      const match = (!level || row.dataset.level === level) && (!only || differs);
      row.hidden = !match;
      if (match) rows += 1;
    }
    body.hidden = rows === 0 || (suite !== "" && body.dataset.suite !== suite);
    if (!body.hidden) shown += rows;
  }
  for (const row of [...table.tHead.rows, ...table.tFoot.rows]) {
    visible.forEach((show, at) => { row.cells[at + BEFORE].hidden = !show; });
  }
  document.getElementById("shown").textContent = shown + " cases shown";
}
form.addEventListener("input", apply);
form.addEventListener("submit", (event) => event.preventDefault());
form.hidden = false;
apply();
