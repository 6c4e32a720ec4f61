// The state of the page and what changes it.

const state = { position: sequence.length - 1, selected: null, trail: [], notation: "index", mode: "explore", asked: null };
const $ = (id) => document.getElementById(id);

$("title").textContent = data.title;
$("text").textContent = data.text;
$("slider").max = sequence.length - 1;

/** The last position that may be seen: in predict mode what is before the question. */
const limit = () => (state.mode === "predict" && state.asked !== null ? state.asked - 1 : sequence.length - 1);

function draw(typed = "") {
  state.position = Math.max(-1, Math.min(state.position, limit()));
  const position = state.position;
  graph.draw(state, Math.max(position, 0));
  $("slider").value = Math.max(position, 0);
  const forward = sequence.findIndex((step) => step.kind === "seed");
  const part = position < forward ? "forward" : sequence[position].kind === "overview" ? "overview" : "backward";
  $("count").textContent = `${position + 1} / ${sequence.length} · ${part}`;
  const asking = state.mode === "predict" && position >= limit();
  const current = position >= 0 && !(asking && state.asked === 0) ? stepPanel(position, state.notation) : [];
  const panel = asking ? [...quizPanel(state.asked, quizActions), ...(quiz.message && position >= 0 ? [make("hr"), ...current] : [])] : current;
  $("step").replaceChildren(...panel.filter(Boolean));
  $("inspector").replaceChildren(...inspector(state, inspectorActions).filter(Boolean));
  for (const [id, value] of [["mode", state.mode], ["notation", state.notation]]) {
    for (const button of $(id).children) button.setAttribute("aria-pressed", String(button.dataset.value === value));
  }
  document.body.classList.toggle("predict", state.mode === "predict");
  if ($("answer")) {
    $("answer").value = typed;
    if (asking && document.activeElement === document.body) $("answer").focus({ preventScroll: true });
  }
}

function go(position) {
  state.position = Math.max(0, position);
  draw();
}

const inspectorActions = {
  select(id) {
    state.selected = id;
    state.trail = [{ variable: id, element: null }];
    draw();
  },
  /** Opens an element: in place of the last entry, or as the next on the way up. */
  open(id, element, replace) {
    if (replace) state.trail.pop();
    state.trail.push({ variable: id, element });
    state.selected = id;
    draw();
  },
  back(length) {
    state.trail.length = length;
    state.selected = length ? state.trail.at(-1).variable : null;
    draw();
  },
};

const quizActions = {
  /** A number was answered or revealed: it is shown, and the next is asked. */
  revealed(position) {
    state.asked = nextQuestion(position + 1);
    state.position = state.asked === null ? sequence.length - 1 : state.asked - 1;
    draw();
    $("answer")?.focus({ preventScroll: true });
  },
  again(typed) {
    draw(typed);
    $("answer")?.focus({ preventScroll: true });
  },
  look(position) {
    setMode("explore");
    go(position);
  },
  restart() {
    setMode("predict");
  },
};

function setMode(mode) {
  state.mode = mode;
  state.asked = mode === "predict" ? nextQuestion(0) : null;
  state.position = mode === "predict" ? limit() : Math.max(0, state.position);
  state.trail = [];
  state.selected = null;
  draw();
}

for (const button of $("mode").children) button.addEventListener("click", () => setMode(button.dataset.value));
for (const button of $("notation").children) {
  button.addEventListener("click", () => {
    state.notation = button.dataset.value;
    draw();
  });
}
$("slider").addEventListener("input", () => go(Number($("slider").value)));
$("first").addEventListener("click", () => go(0));
$("back").addEventListener("click", () => go(state.position - 1));
$("next").addEventListener("click", () => go(state.position + 1));
$("last").addEventListener("click", () => go(sequence.length - 1));
graph.nodes.forEach(({ group }, id) => {
  group.addEventListener("click", () => inspectorActions.select(id));
  group.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      inspectorActions.select(id);
    }
  });
});
document.addEventListener("keydown", (event) => {
  if (event.target.id === "answer" || event.ctrlKey || event.metaKey || event.altKey) return;
  const actions = {
    ArrowRight: () => go(state.position + 1),
    ArrowLeft: () => go(state.position - 1),
    Home: () => go(0),
    End: () => go(sequence.length - 1),
    Escape: () => state.trail.length && inspectorActions.back(state.trail.length - 1),
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());

if (data.chosen.length) {
  const [id, element] = data.chosen[0];
  inspectorActions.open(id, element, false);
} else {
  draw();
}
