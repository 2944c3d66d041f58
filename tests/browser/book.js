"use strict";
// Looks at PAGES in every theme, on a wide and on a narrow screen, and lists what cannot be read.
const numbers = (color) => color.match(/[\d.]+/g).map(Number);
const over = ([r, g, b, alpha = 1], ground) => [r, g, b].map((part, i) => part * alpha + ground[i] * (1 - alpha));

// The relative luminance and the contrast of WCAG 2.2.
function luminance(color) {
    const [r, g, b] = color.map((part) => (part <= 10 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function ground(element) {
    return element ? over(numbers(getComputedStyle(element).backgroundColor), ground(element.parentElement)) : [255, 255, 255];
}

function contrast(element) {
    const [under, letters] = [ground(element), numbers(getComputedStyle(element).color)];
    const both = [under, over(letters, under)].map(luminance);
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
}

// Whether letters of the element itself are on the screen. The arrow that folds a chapter is a sign, not a letter.
function isText(element) {
    const hasLetters = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    return hasLetters && !element.matches(".chapter-fold-toggle *") && element.checkVisibility({ visibilityProperty: true });
}

function* faults(page) {
    const [all, content] = [page.documentElement, page.querySelector(".content")];
    const beyond = Math.max(all.scrollWidth - all.clientWidth, content.scrollWidth - content.clientWidth);
    if (beyond > 0) yield `${beyond} pixels beyond ${all.clientWidth}`;
    page.querySelectorAll("details").forEach((details) => (details.open = true));
    for (const theme of ["light", "rust", "coal", "navy", "ayu"]) {
        page.getElementById(`mdbook-theme-${theme}`).click();
        for (const element of [...page.querySelectorAll("body *")].filter(isText)) {
            const found = contrast(element);
            if (found < 4.5) yield `contrast ${found.toFixed(2)} of ${element.localName}.${element.className} in ${theme}`;
        }
    }
}

async function look() {
    const found = new Set();
    for (const [width, src] of [1400, 390].flatMap((width) => PAGES.map((page) => [width, page]))) {
        const frame = Object.assign(document.createElement("iframe"), { width, height: 900, src });
        await new Promise((onload) => document.body.append(Object.assign(frame, { onload })));
        for (const fault of faults(frame.contentDocument)) found.add(`${src}: ${fault}`);
        frame.remove();
    }
    document.body.innerHTML = `<pre id="found"></pre><p id="looked">${PAGES.length}</p>`;
    document.getElementById("found").textContent = [...found].join("\n");
}

look();
