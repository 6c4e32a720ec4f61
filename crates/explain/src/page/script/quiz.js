// Predict, then reveal: the page hides the next number and its rule, grades the answer, and gives hints in stages.

/** The question of a step, or null if the step has no single number to ask for. */
function questionOf(position) {
  const step = sequence[position];
  if (step.kind === "overview") return null;
  if (step.kind === "forward") {
    const of = data.steps[step.step];
    const output = variables[of.output];
    if (!of.formula.numbers || !output.value) return null;
    const i = of.at ? ravel(of.at, output.shape) : 0;
    const index = output.count === 1 ? "" : indexText(i, output.shape);
    return {
      text: `What is the value of ${output.name}${index}?`,
      answer: output.value[i],
      hints: [
        `It is computed from ${of.inputs.map((input) => variables[input.variable].name).join(" and ")} by ${of.op}.`,
        { label: "the rule", html: of.formula.symbols },
        { label: "with numbers", html: of.formula.numbers },
      ],
      slips: [],
    };
  }
  if (step.kind === "seed") {
    return { text: `What is ${partialText(lossId)}?`, answer: 1, hints: ["How much does the loss change if the loss changes?", "By the same amount.", "So the quotient is 1."], slips: [] };
  }
  const id = step.kind === "sum" ? step.variable : step.edge.from;
  const of = variables[id];
  const i = of.count === 1 ? 0 : largestElement(id);
  if (i === null) return null;
  const index = of.count === 1 ? "" : indexText(i, of.shape);
  if (step.kind === "sum") {
    if (of.uses.some((edge) => arriving(edge) === null)) return null;
    const parts = of.uses.map((edge) => arriving(edge)[i]);
    return {
      text: `${of.name} is used ${parts.length} times. What is its whole gradient ${partialText(id, index)}?`,
      answer: of.gradient[i],
      hints: [
        `It gets one gradient each from ${of.uses.map((edge) => variables[edge.to].name).join(" and ")}.`,
        "The effects of one change on several ways add up.",
        parts.map((x) => factor(x)).join(" + "),
      ],
      slips: [
        { value: parts.reduce((product, x) => product * x, 1), text: "The gradients of several uses are added, not multiplied." },
        ...parts.map((x) => ({ value: x, text: "This is the gradient of one use. Another use is missing." })),
      ],
    };
  }
  const output = data.steps[step.step].output;
  const found = explainElement(id, i);
  const terms = found.terms.filter((term) => term.edge === step.edge);
  if (!terms.length || found.rest.count) return null;
  const answer = terms.reduce((sum, term) => sum + term.product, 0);
  const share = of.uses.length > 1 ? `The part of ${partialText(id, index)} that comes through ${variables[output].name}?` : `What is ${partialText(id, index)}?`;
  const [first] = terms;
  const operation = data.steps[step.step];
  const at = variables[output].count === 1 ? "" : indexText(first.j, variables[output].shape);
  const arrives = terms.length === 1 ? `What arrives there is ${partialText(output, at)} = ${number(first.dy)}.` : `${terms.length} elements of the gradient of ${variables[output].name} contribute to it.`;
  return {
    text: share,
    answer,
    hints: [
      `The edge is from ${variables[output].name} (${operation.op}) back to ${of.name}. ${arrives}`,
      { label: "the rule", html: operation.inputs[step.edge.input].rule?.symbols ?? operation.derivative },
      terms.slice(0, 6).map((term) => `${factor(term.dy)} · ${factor(term.local)}`).join(" + ") + (terms.length > 6 ? " + …" : ""),
    ],
    slips: [
      { value: first.dy, text: `This is what arrives at ${variables[output].name}. The local derivative of ${operation.op} is missing as a factor.` },
      { value: first.local, text: "This is the local derivative. It is still to be multiplied by the gradient that arrives." },
    ],
  };
}

/** What an answer is: "right", or what is wrong with it. */
function grade(text, question) {
  const cleaned = text.trim().replace(/[−–]/g, "-").replace(",", ".");
  const answer = Number(cleaned);
  if (cleaned === "" || !Number.isFinite(answer)) return { right: false, text: "Please enter a number, such as -0.018 or 1.3e-3." };
  // One unit in the last digit, since some round and some truncate.
  const [mantissa, exponent] = cleaned.toLowerCase().split("e");
  const decimals = (mantissa.split(".")[1] ?? "").length;
  const unit = mantissa.includes(".") || exponent ? 10 ** (Number(exponent ?? 0) - decimals) : 0.5;
  const size = Math.abs(question.answer);
  const fits = (value) => Math.abs(answer - value) <= Math.max(Math.min(unit, 0.02 * Math.abs(value)), 0.005 * Math.abs(value), 1e-12);
  if (fits(question.answer)) return { right: true };
  if (unit > 0.02 * size && Math.abs(answer - question.answer) <= unit) return { right: false, text: "Close, but too few digits to tell. Give at least two or three significant ones." };
  if (fits(-question.answer)) return { right: false, text: "The size is right, the sign is not." };
  const slip = question.slips.find(({ value }) => fits(value));
  if (slip) return { right: false, text: slip.text };
  const known = [[2, "twice the right value"], [0.5, "half the right value"]].find(([times]) => fits(times * question.answer));
  return { right: false, text: known ? `This is ${known[1]}: look for a factor 2 or ½.` : "Not right." };
}

const quiz = { results: new Map(), hints: 0, tries: 0, message: null };

/** Points of a question: 3, less 1 for each hint and each wrong try; 0 if revealed. */
const points = () => Math.max(0, 3 - quiz.hints - quiz.tries);

/** The first position from `position` on, in direction `by`, that has a question. */
function nextQuestion(position) {
  for (let p = position; p < sequence.length; p++) if (!quiz.results.has(p) && questionOf(p)) return p;
  return null;
}

/** The panel of the question at the position after the current one. */
function quizPanel(asked, actions) {
  const score = scoreLine();
  const message = quiz.message && make("p", { class: quiz.message.right ? "right" : "wrong", role: "status" }, quiz.message.text);
  if (asked === null) return [message, make("h2", {}, "All steps done"), score, summary(actions)];
  const question = questionOf(asked);
  const input = make("input", { id: "answer", type: "text", inputmode: "text", autocomplete: "off", "aria-label": "Your answer" });
  const settle = (points, text) => {
    quiz.results.set(asked, points);
    Object.assign(quiz, { hints: 0, tries: 0, message: text });
    actions.revealed(asked);
  };
  const check = () => {
    const result = grade(input.value, question);
    if (result.right) return settle(points(), { right: true, text: `Right: ${number(question.answer)}` });
    if (!result.text.startsWith("Please")) quiz.tries++;
    quiz.message = { right: false, text: result.text };
    actions.again(input.value);
  };
  const form = make("form", { class: "answer", onsubmit: (event) => { event.preventDefault(); check(); } }, input, make("button", { type: "submit" }, "Check"));
  const hint = make("button", { type: "button", id: "hint", onclick: () => { quiz.hints++; actions.again(input.value); } }, `Hint ${Math.min(quiz.hints + 1, 3)} of 3`);
  if (quiz.hints >= 3) hint.disabled = true;
  const reveal = make("button", { type: "button", id: "reveal", onclick: () => settle(0, { right: false, text: `It is ${number(question.answer)}` }) }, "Reveal");
  const shown = question.hints.slice(0, quiz.hints).map((text) => make("li", { class: "formula", html: typeof text === "string" ? escapeHtml(text) : `${text.label}: ${text.html}` }));
  return [message, make("h2", {}, question.text), form, make("div", { class: "buttons" }, hint, reveal), make("ol", { class: "hints" }, ...shown), score];
}

function scoreLine() {
  const results = [...quiz.results.values()];
  const total = results.reduce((sum, points) => sum + points, 0);
  return make("p", { class: "score", id: "score" }, results.length ? `Score: ${total} of ${3 * results.length} points, ${results.filter((p) => p === 3).length} of ${results.length} at once` : "Three points for an answer at once; a hint or a wrong try costs one.");
}

function summary(actions) {
  const weak = [...quiz.results].filter(([, points]) => points < 3);
  const items = weak.map(([p, points]) => make("li", {}, make("button", { class: "link", onclick: () => actions.look(p) }, questionOf(p).text), ` ${points} points`));
  const again = make("button", { onclick: () => { quiz.results.clear(); Object.assign(quiz, { hints: 0, tries: 0, message: null }); actions.restart(); } }, "Start again");
  return make("div", {}, weak.length ? make("p", {}, "Look at these again:") : make("p", {}, "Every number right at once."), make("ul", {}, ...items), again);
}
