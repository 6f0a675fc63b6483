// The quiz: a guess, or the next question; how many were right travels along. `element` is the component that holds it.

element.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  const quiz = element.querySelector(".quiz"), {asked, visitor, model, number} = quiz.dataset;
  const {next, guess} = button.dataset;
  if (next === undefined && !guess) return;
  for (const one of quiz.querySelectorAll("button")) one.disabled = true;
  trigger("submit", {number: Number(next ?? number), guess: guess ?? "", score: {asked, visitor, model}});
});
