// A search box above the list of diagnoses, where scripts run.
"use strict";

const ROWS = 8;

// Letters that keyboards type in two ways, and marks that nobody types, count as one.
function folded(text) {
  return text.toLowerCase().replace(/[يى]/g, "ی").replace(/ك/g, "ک").replace(/[\u200c\u200f]/g, "")
    .normalize("NFD").replace(/[\u0300-\u036f]/g, "");
}

function addSearch(list) {
  const groups = [...list.querySelectorAll("optgroup")].map((group) => [group, [...group.children]]);
  const search = document.createElement("input");
  search.type = "search";
  search.setAttribute("aria-label", list.dataset.search);
  search.placeholder = list.dataset.search;
  search.addEventListener("input", () => {
    const wanted = folded(search.value.trim());
    list.size = wanted ? ROWS : 0; // an open list shows what was found
    for (const [group, options] of groups) {
      const found = options.filter((option) =>
        option.selected || folded(`${option.text} ${option.dataset.also || ""}`).includes(wanted));
      // Some browsers show hidden options all the same, so those that do not match are taken out.
      group.replaceChildren(...found);
      group.hidden = found.length === 0;
    }
  });
  // Enter in a search box would press the form's first button, and so give an opinion.
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      list.focus();
    }
  });
  list.before(search);
}

document.querySelectorAll("select[data-search]").forEach(addSearch);
