// What is live is fetched again and put in place; the reports change only when the page is loaded again.
setInterval(async () => {
  try {
    const answer = await fetch("/dashboard?live", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("live").replaceWith(page.getElementById("live"));
    document.body.classList.remove("away");
  } catch {
    document.body.classList.add("away");
  }
}, 3000);
