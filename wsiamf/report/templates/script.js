// Without this script the page is whole: it only sorts, filters and hides what stands there.
"use strict";
(() => {
  const value = (item, key) => Number(item.dataset[key]);

  function cards(form) {
    const section = form.closest("section");
    const lists = [...section.querySelectorAll("[data-items]")].map((list) => ({ list, items: [...list.children] }));
    const all = lists.flatMap((one) => one.items);
    const texts = new Map(all.map((item) => [item, item.textContent.toLowerCase()]));
    const update = () => {
      const label = form.querySelector("[data-filter=label]").value;
      const hot = form.querySelector("[data-filter=hot]").checked;
      const find = form.querySelector("[data-find]").value.trim().toLowerCase();
      const sort = form.querySelector("[data-sort]").value;
      const key = sort.replace("-", ""), sign = sort.startsWith("-") ? -1 : 1;
      for (const { list, items } of lists) {
        const sorted = sort ? [...items].sort((a, b) => sign * (value(a, key) - value(b, key))) : items;
        list.append(...sorted);
      }
      let shown = 0;
      for (const item of all) {
        item.hidden = (label && item.dataset.label !== label) || (hot && item.dataset.hot !== "1")
          || (find && !texts.get(item).includes(find));
        shown += item.hidden ? 0 : 1;
      }
      form.querySelector("[data-count]").textContent = `${shown} of ${all.length} crops shown`;
    };
    start(form, update);
  }

  function slides(form) {
    const table = document.getElementById("slides-table");
    const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
    const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const update = () => {
      const find = form.querySelector("[data-find]").value.trim().toLowerCase();
      const chosen = [...form.querySelectorAll("select[data-filter]")].filter((one) => one.value);
      let shown = 0;
      for (const row of rows) {
        row.hidden = Boolean(find && !texts.get(row).includes(find))
          || chosen.some((one) => row.dataset[one.dataset.filter] !== one.value);
        shown += row.hidden ? 0 : 1;
      }
      form.querySelector("[data-count]").textContent = `${shown} of ${rows.length} slides shown`;
    };
    const cell = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const sortBy = (column) => {
      const head = heads[column], up = head.getAttribute("aria-sort") !== "ascending", sign = up ? 1 : -1;
      const numeric = head.classList.contains("num");
      for (const one of heads) one.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const order = [...rows].sort((a, b) => {
        const first = cell(a, column), second = cell(b, column);
        if (first === "" || second === "") return (first === "") - (second === "");
        return sign * (numeric ? first - second : first.localeCompare(second, "en", { numeric: true }));
      });
      body.append(...order);
    };
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sortBy(column));
      head.append(button);
    });
    start(form, update);
  }

  function start(form, update) {
    form.hidden = false;
    form.addEventListener("input", update);
    form.addEventListener("submit", (event) => event.preventDefault());
    update();
  }

  for (const form of document.querySelectorAll("[data-tools=cards]")) cards(form);
  for (const form of document.querySelectorAll("[data-tools=slides]")) slides(form);

  const layers = document.querySelector(".layers");
  if (layers) {
    layers.hidden = false;
    for (const box of layers.querySelectorAll("input")) {
      const parts = document.querySelectorAll(`.map .${box.id.replace("show-", "")}`);
      box.addEventListener("change", () => parts.forEach((part) => part.toggleAttribute("hidden", !box.checked)));
    }
  }
})();
