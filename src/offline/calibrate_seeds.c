/* calibrate_seeds.c: see calibrate_seeds.h. Written for this project; quotes nobody. */
#include "offline/calibrate_seeds.h"

#define LIST(array)                                                                                \
    {                                                                                              \
        array, sizeof(array) / sizeof((array)[0])                                                  \
    }

static const char *const questions[] = {
    "Hello!",
    "Why do leaves change their colour in autumn?",
    "What is the capital of Portugal, and what is it known for?",
    "Explain to a ten-year-old how a battery works.",
    "Write a short story about a lighthouse keeper who finds a letter.",
    "Write a Python function that returns the n-th prime number.",
    "How do I list all files larger than 100 MB in a folder on Linux?",
    "Translate into French: \"The train to the coast leaves at half past nine.\"",
    "Give me a recipe for lentil soup with the amounts for four people.",
    "Summarise the causes of the First World War in five bullet points.",
    "What is 17 times 23? Show the steps.",
    "A train travels 180 km in 2.5 hours. What is its average speed?",
    "I feel nervous before a job interview. What can I do?",
    "Write a polite e-mail asking my landlord to repair the heating.",
    "Compare SQL and NoSQL databases in a table.",
    "Which planets have rings?",
    "Fix the grammar: \"He don't know nothing about them books what I readed.\"",
    "Write a poem of three stanzas about rain on a tin roof.",
    "What does this code do?\n\nfor (i = 0; i < n; i++)\n    sum += a[i] * b[i];",
    "List ten animals that live in the desert.",
    "Give me a JSON object that describes a book with title, author, year and tags.",
    "What is the difference between a virus and a bacterium?",
    "Plan a weekend in the mountains for a family with two small children.",
    "Tell me a joke about computers.",
    "How can I learn to play the guitar by myself?",
    "Rewrite this sentence more formally: \"We can't come cause the car broke down.\"",
    "Who wrote the play in which a prince speaks to a skull?",
    "Explain the Pythagorean theorem with an example.",
    "Write a shell script that renames all .jpeg files to .jpg.",
    "What are the side effects of drinking too much coffee?",
    ("Extract the names and dates from this text: \"Anna Berg joined the firm on 3 May 2011 and "
     "left it in June 2019; her successor, Luis Ortega, began a month later.\""),
    "Is this review positive or negative? \"The screen is fine, but the keys stuck after a week.\"",
    "Give me three arguments for and three against school uniforms.",
    "How does a compiler differ from an interpreter?",
    "Create an HTML page with a heading, a list and a link.",
    "What should I do if my bicycle chain comes off?",
    "Write a dialogue between a customer and a baker who has sold out.",
    "Continue the sequence and explain it: 2, 6, 12, 20, 30",
    "Describe the water cycle.",
    "What happened in 1969?",
    ("Schreibe einen kurzen Satz \xc3\xbc"
     "ber den Winter."),
    "\xc2\xbfQu\xc3\xa9 es la fotos\xc3\xadntesis?",
    "How much is 25 degrees Celsius in Fahrenheit?",
    "Write a product description for a pair of waterproof hiking boots.",
    "What is the meaning of the word \"serendipity\"? Use it in two sentences.",
    "Write a C function that reverses a string in place, with a comment for each step.",
    "My program says \"connection refused\". What does this mean?",
    "Explain how interest on a loan is computed.",
    "Give step-by-step instructions for changing a light bulb safely.",
    "Pretend to be a museum guide and show me around the hall of dinosaurs.",
};

static const char *const halves[] = {
    "What",
    "How do I",
    "Why does the",
    "Can you explain",
    "Write a",
    "I have a problem with my",
    "Is it true that",
    "Please help me with",
    "Given the following text, answer the question:\n",
    "Summarize the following article:\n\n",
    "Calculate",
    "My teacher says that",
    "Translate the following sentence",
    "Create a list of",
    "Which of these",
    "Tell me about the history of",
    "I want to build",
    "What are the advantages of",
    "Rewrite the following paragraph",
    "Write code in",
    "When was",
    "In the year",
    "Let's play a game:",
    "def ",
    "I am writing a story about",
    "Compare",
    "Who",
    "Hi, I'm",
};

static const char *const openings[] = {
    /* encyclopedias */
    " = The Bridge at Harlow Mill = \n \n The bridge at Harlow Mill is a stone bridge of three "
    "arches over the River Tarn . It was built between 1788 and 1791 , and is one of the oldest",
    " = Northern marsh shrike = \n \n The northern marsh shrike is a medium @-@ sized bird that "
    "breeds in wet meadows . Adults are 22 to 24 cm long , and",
    " = = Early life = = \n \n She was born on 9 May 1902 in a small town near the border , the "
    "third of five children . Her father , a teacher ,",
    " = = Production = = \n \n Filming began in March and lasted eleven weeks . The director said "
    "that",
    " = = = Military service = = = \n \n In the spring of 1943 the regiment was moved to the coast "
    ", where",
    "The Kestrel-class destroyers were a group of six warships built for the navy in the late "
    "1930s. They were armed with",
    "Photosynthesis is the process by which plants, algae and some bacteria turn light into "
    "chemical energy. It takes place in two stages:",
    "== Geography ==\nThe island lies about forty kilometres off the western coast. Its highest "
    "point,",
    "Maria Keller (12 April 1871 - 3 November 1944) was a Swiss chemist who",
    "The Battle of",
    "The river rises in the hills north of the town and flows south for about ninety miles before "
    "it",
    "The town has a population of 14,300 (2011 census). It is twinned with",
    "In mathematics, a group is a set together with an operation that",
    "The album was recorded in two weeks at a studio in Memphis. Its first single",
    "The 1987 season was the club's fourth in the top division. Under a new manager, the team",
    /* technical manuals */
    "NAME\n----\nsplit-log - Cut a log file into parts\n\nSYNOPSIS\n--------\n[verse]\n'split-log' "
    "[--by=<size>] [--keep] [-q | --quiet] <file>...\n\nDESCRIPTION\n-----------\nReads each "
    "<file> and writes its lines to",
    "OPTIONS\n-------\n-v::\n--verbose::\n\tReport the name of each file that is read.\n\n-n "
    "<number>::\n--lines=<number>::\n\tShow only the first <number> lines of the output.\n\n",
    "DESCRIPTION\n-----------\nThis command updates the index of the archive with the current "
    "content of the files, so that a later call of 'archive save' finds only those that",
    "--force::\n\tBy default, the command refuses to overwrite a file that has been changed. With "
    "this option,",
    "CONFIGURATION\n-------------\n\ncore.editor::\n\tThe program that is started when a message "
    "is to be edited. If it is not set,",
    "EXAMPLES\n--------\n\n* Show the last three entries:\n+\n------------\n$ notes list -n "
    "3\n------------\n+\n",
    "Usage: backup [OPTION]... SOURCE TARGET\nCopy files that are newer than those of the last "
    "run.\n\n  -a, --archive        keep owner, mode and time\n  -d, ",
    "# Installation\n\nTo install the package, run:\n\n```\n",
    "## API Reference\n\n### `connect(host, port, timeout=30)`\n\nOpens a connection. "
    "**Parameters:**\n\n- `host` (string):",
    "Chapter 3. Memory Management\n\n3.1 Overview\n\nThe allocator divides the heap into pages of "
    "4096 bytes. Each page holds objects of one size, and",
    "CHANGELOG\n\nVersion 2.4.1\n - Fixed a crash when the configuration file is empty\n - ",
    "1. Unplug the device before you open it.\n2. Remove the four screws at the bottom.\n3. ",
    "The following table lists the registers of the timer:\n\n| Register | Offset | Description |\n"
    "|---|---|---|\n| CTRL | 0x00 |",
    "Network Working Group\n\n1. Introduction\n\n   This document describes a protocol by which "
    "two hosts",
    "Abstract. We present a method for estimating the age of trees from photographs of their bark. "
    "In contrast to earlier work,",
    /* code */
    "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\n/* Reads a line of any "
    "length. "
    "*/\nchar *read_line(FILE *f)\n{\n",
    "static int parse_header(const char *buf, size_t len)\n{\n    if (len < 4)\n        return "
    "-1;\n",
    "import os\nimport sys\n\ndef main():\n    if len(sys.argv) < 2:\n        print(",
    "class Stack:\n    \"\"\"A last-in, first-out container.\"\"\"\n\n    def __init__(self):\n",
    "#!/bin/sh\n# Makes a backup of the home directory.\nset -e\n\n",
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n  <meta charset=\"utf-8\">\n  <title>",
    "SELECT c.name, COUNT(o.id) AS orders\nFROM customers c\n",
    "CREATE TABLE employees (\n    id INTEGER PRIMARY KEY,\n    name VARCHAR(80) NOT NULL,\n",
    "const express = require('express');\nconst app = express();\n\napp.get('/', (req, res) => {\n",
    "/**\n * Returns the mean of an array of numbers.\n */\nfunction mean(values) {\n",
    "public class Main {\n    public static void main(String[] args) {\n",
    "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc ",
    "fn main() {\n    let mut numbers = vec![3, 1, 2];\n",
    "#include <vector>\n\ntemplate <typename T>\nclass Queue {\npublic:\n",
    "body {\n    margin: 0;\n    font-family: sans-serif;\n}\n\n",
    "diff --git a/src/list.c b/src/list.c\n--- a/src/list.c\n+++ b/src/list.c\n@@ -41,6 +41,9 @@\n",
    "CC = gcc\nCFLAGS = -O2 -Wall\n\nall: main.o list.o\n\t",
    "\\section{Introduction}\n\nLet $G$ be a graph with $n$ vertices. ",
    /* data */
    "{\n  \"name\": \"Harbour Cafe\",\n  \"address\": {\n    \"street\": \"12 Quay Road\",\n",
    "[{\"id\": 1, \"title\": \"The Long Winter\", \"pages\": 312}, {\"id\": 2, ",
    "id,name,city,amount\n1,Anna Schmidt,Berlin,120.50\n2,",
    "version: '3'\nservices:\n  web:\n    image: ",
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<catalog>\n  <book id=\"1\">\n",
    "2021-03-04 08:15:02,113 INFO  [main] Server started on port 8080\n2021-03-04 08:15:07,",
    "[server]\nport = 8443\nworkers = 4\n",
    "Date        Opponent      Result\n14 Aug      Rovers        2-1\n21 Aug      City          "
    "0-0\n"
    "28 Aug ",
    "| Country | Capital | Population |\n|---|---|---|\n| Norway | Oslo | 5.4 million |\n",
    /* news, essays, law */
    "LONDON - The government said on Tuesday that it would spend another 400 million pounds on "
    "railways in the north of the country. The minister",
    "Shares of the company fell 4 percent after it reported lower sales in the third quarter.",
    "The city council voted on Monday to close the old bridge to cars.",
    "The home team won 3-1 on Saturday after a slow first half.",
    "Opinion: Why we should",
    "It is often said that travel broadens the mind. But",
    "In this essay I will argue that public libraries",
    "Section 4. Termination. Either party may end this agreement by giving the other thirty days' "
    "written notice.",
    "Article 12\n\n1. Every person shall have the right to",
    "TERMS OF SERVICE\n\nPlease read these terms carefully before you use the site.\n\n1. ",
    "Weather for the coast: cloudy at first, with",
    /* stories, letters, verse, talk */
    "Once upon a time, in a village at the edge of a forest, there lived",
    "The door closed behind her, and for a moment she stood in the dark and listened.",
    "\"Where have you been?\" asked her brother.\n\n\"At the harbour,\" she said.",
    "Captain Orlov looked at the map again. If the storm came from the west,",
    "Chapter One\n\nMy grandfather kept bees.",
    "Dear Mr. Hargreaves,\n\nThank you for your letter of 4 June. I am pleased to",
    "Hi all,\n\nJust a quick note about the trip next week:",
    "Subject: Re: Meeting on Thursday\n\nHello Tom,\n\n",
    "Dear diary,\n\ntoday",
    "O wind that wanders over the hill,\nWhat news have you brought from the sea?\n",
    "ACT I\n\nSCENE 1. A kitchen. Morning.\n\nMARTHA: You are up early.\n\nPAUL: ",
    "Interviewer: How did you begin to paint?\n\nA.: ",
    "A: Have you seen my keys?\nB: They were on the table this morning.\nA: ",
    "[Verse 1]\nI left the town on a Sunday train\n",
    /* lessons, advice, lists */
    "Lesson 5: Fractions\n\nA fraction is a part of a whole. If you cut a pie into four equal "
    "pieces,",
    "Problem 1. A box contains 12 red and 8 blue balls. Two are drawn at random. What is the "
    "probability that both are red?\n\nSolution.",
    "Theorem 2. Let f be a continuous function on the interval [a, b]. Then",
    "Question: What is the boiling point of water at sea level?\nAnswer:",
    "Q: How often should I water a cactus?\nA:",
    "Which of the following is a mammal?\nA. Trout\nB. Dolphin\nC. Lizard\nD. Sparrow\nAnswer:",
    "Ingredients:\n- 200 g flour\n- 2 eggs\n- ",
    "How to Clean a Cast Iron Pan\n\nStep 1: Let the pan cool down.\n\nStep 2:",
    "Top 10 Reasons to Visit the Mountains in Autumn\n\n1. ",
    "Shopping list:\n* milk\n* ",
    "Things to remember:\n\n1. ",
    "Patient history: A 54-year-old man with high blood pressure came to the clinic with",
    "Vitamin D helps the body to take up calcium.",
    "The experiment was repeated three times. Table 2 shows the mean temperature of each sample.",
    "Stars form when clouds of gas and dust collapse under their own weight.",
    "During the Middle Ages, most people in Europe lived",
    "The economy of the country depends on",
    "The heart pumps blood through the body.",
    /* the net */
    "Posted by jens84 on Monday, 9:14 pm\n\nI have been trying to connect my printer for two days "
    "now, and",
    "Help: my laptop will not start after the update\n\n",
    "How to sort a list of tuples by the second element?\n\nI have a list like this:\n\n",
    "Review: 4 out of 5 stars\n\nI bought this tent for a week in Scotland.",
    "FAQ\n\n**How long does delivery take?**\n\n",
    "Welcome to our website! We are a family business",
    "Looking for a quiet place to stay? Our",
    "We are hiring: Software Engineer (Berlin)\n\nYour tasks:\n",
    /* other languages */
    "Der Bahnhof liegt im Norden der Stadt und wurde",
    ("La ville est situ\xc3\xa9"
     "e au bord de la mer, dans"),
    "El profesor dijo que la clase de hoy",
};

const el_seed_list el_seeds_questions = LIST(questions);
const el_seed_list el_seeds_halves = LIST(halves);
const el_seed_list el_seeds_openings = LIST(openings);
