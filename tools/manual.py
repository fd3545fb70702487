#!/usr/bin/env python3
"""Manual pages and completions for bash, zsh and fish, all made from what the programs say of themselves
with --help, so that nothing is written twice.

    tools/manual.py OUT [--run COMMAND] EDGELLM [EDGELLM-NAME...]

EDGELLM and the programs that it starts (edgellm-serve ...). Of commands whose program is not given only
the summary is known. --run: what starts the programs, an emulator with its options, where they are
another machine's. Writes OUT/man1/*.1, OUT/bash/edgellm, OUT/zsh/_edgellm, OUT/fish/edgellm.fish.
SOURCE_DATE_EPOCH is the pages' date, or today. Standard library only.
"""
import argparse
import datetime
import os
import pathlib
import re
import subprocess
import time

OPTION = re.compile(r"  (?:-(?P<letter>.), |    )--(?P<name>[a-z0-9-]+)"
                    r"(?P<argument>\[=[A-Z-]+\]| [^ a-z][^ ]*(?=  )| \S+(?=  ))?  +(?P<text>.*)")
SHELLS_FILES = ("FILE", "SMALL", "SOURCE", "SHAPES", "DIR", "PATH", "SOCKET")


# ---- what the programs say ---------------------------------------------------------------------

class Command:
    """One command, from its --help."""

    def __init__(self, name, summary, text):
        self.name, self.summary, self.options = name, summary, []
        self.synopsis = self.about = self.examples = ""
        if text is None:
            return
        head, _, rest = text.partition("\n\noptions:\n")
        usage, _, self.about = head.partition("\n\n")
        self.synopsis = usage.removeprefix("usage: ")
        options, _, rest = rest.partition("\n\nexamples:\n")
        self.examples = rest.partition("\n\nExit codes:")[0]
        for line in options.split("\n"):
            found = OPTION.fullmatch(line)
            if not found:
                raise ValueError(f"edgellm {name} --help: what is this line? {line!r}")
            self.options.append(found.groupdict(default=""))


def say(run, program, *arguments):
    return subprocess.run([*run, program, *arguments], check=True, capture_output=True, text=True,
                          timeout=60).stdout


def ask(run, program, others):
    """The commands in their order, the exit codes, the version."""
    overview = say(run, program, "--help")
    table = overview.partition("\ncommands:\n")[2]
    rows, _, codes = table.partition("\n\nexit codes:\n")
    known = {pathlib.Path(other).name.removeprefix("edgellm-"): other for other in others}
    commands = []
    for name, summary in re.findall(r"  (\S+) +(.*)", rows):
        if name in known:
            text = say(run, known[name], "--help")
        else:
            done = subprocess.run([*run, program, name, "--help"], capture_output=True, text=True,
                                  timeout=60)
            text = done.stdout if done.returncode == 0 else None
        commands.append(Command(name, summary, text))
    return commands, codes, say(run, program, "--version").split()[1]


# ---- manual pages ------------------------------------------------------------------------------

def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"(?m)^([.'])", r"\\&\1", text)


def title(name, version):
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    date = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d")
    return f'.TH {name.upper()} 1 "{date}" "EdgeLLM {version}" "User Commands"\n'


def option_page(option):
    argument = option["argument"].strip()
    space = "" if argument.startswith("[") or not argument else " "
    names = [f"\\fB\\-\\-{roff(option['name'])}\\fR"]
    if option["letter"]:
        names.insert(0, f"\\fB\\-{roff(option['letter'])}\\fR")
    shown = f"{space}\\fI{roff(argument)}\\fR" if argument else ""
    return f".TP\n{', '.join(names)}{shown}\n{roff(option['text'])}\n"


def command_page(command, version):
    about = "".join(f"{roff(line)}\n" for line in command.about.strip().split("\n"))
    examples = roff("\n".join(line.strip() for line in command.examples.split("\n")))
    return (f"{title('edgellm-' + command.name, version)}"
            f".SH NAME\nedgellm\\-{roff(command.name)} \\- {roff(command.summary)}\n"
            f".SH SYNOPSIS\n.B {roff(command.synopsis)}\n"
            f".SH DESCRIPTION\n{about}"
            f".SH OPTIONS\n{''.join(map(option_page, command.options))}"
            f".SH EXAMPLES\n.nf\n{examples}\n.fi\n"
            f".SH EXIT STATUS\nSee\n.BR edgellm (1).\n.SH SEE ALSO\n.BR edgellm (1)\n")


def overview_page(commands, codes, version):
    rows = "".join(f".TP\n\\fBedgellm {roff(c.name)}\\fR\n{roff(c.summary)}\n" for c in commands)
    lines = [line.strip() for line in codes.strip().split("\n")]
    exits = "".join(f".TP\n\\fB{number}\\fR\n{roff(text)}\n" for number, text in
                    (re.fullmatch(r"(\d+) +(.*)", line).groups() for line in lines if line[0].isdigit()))
    last = roff(lines[-1])
    pages = ",\n".join(f".BR edgellm\\-{roff(c.name)} (1)" for c in commands if c.synopsis)
    return (f"{title('edgellm', version)}"
            ".SH NAME\nedgellm \\- a language model on a small CPU, with known latency\n"
            ".SH SYNOPSIS\n.B edgellm\n.I COMMAND\n[options]\n.br\n"
            ".B edgellm\n.I MODEL\n\\fB\\-p\\fR \\fITEXT\\fR [options]\n"
            f".SH COMMANDS\n{rows}.SH EXIT STATUS\n{exits}.PP\n{last}\n"
            f".SH SEE ALSO\n{pages}\n")


# ---- completions -------------------------------------------------------------------------------

def takes_file(option):
    return option["argument"].strip(" [=]") in SHELLS_FILES


def words(command):
    return [f"--{o['name']}" for o in command.options] + [f"-{o['letter']}" for o in command.options
                                                         if o["letter"]]


def bash(commands):
    rows = "".join(f"    {c.name}) words=\"{' '.join(words(c))}\" ;;\n" for c in commands)
    names = " ".join(c.name for c in commands)
    return f"""# bash completion for edgellm
_edgellm() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words=
    COMPREPLY=()
    case ${{COMP_WORDS[1]}} in
{rows}    help) words="{names}" ;;
    *) [ "$COMP_CWORD" != 1 ] || words="{names} help --help --version" ;;
    esac
    if [[ $COMP_CWORD == 1 || $word == -* || ${{COMP_WORDS[1]}} == help ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    fi
}}
complete -o default -F _edgellm edgellm
"""


def zsh_text(text):
    return text.replace("'", "'\\''").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def zsh_option(option):
    text, argument = zsh_text(option["text"]), option["argument"]
    optional = argument.startswith("[")
    action = "_files" if takes_file(option) else " "
    tail = f":{'' if not optional else ':'}{argument.strip(' [=]')}:{action}" if argument else ""
    names = [f"--{option['name']}" + ("=-" if optional else "")]
    if option["letter"]:
        names.append(f"-{option['letter']}")
    return "".join(f"            '{name}[{text}]{tail}' \\\n" for name in names)


def zsh(commands):
    names = "".join(f"        '{c.name}:{zsh_text(c.summary)}'\n" for c in commands)
    rows = "".join(f"    {c.name})\n        _arguments \\\n{''.join(map(zsh_option, c.options))}"
                   f"            '*:file:_files'\n        ;;\n" for c in commands)
    return f"""#compdef edgellm
local -a commands
commands=(
{names})
if (( CURRENT == 2 )); then
    _describe command commands
    _files
    return
fi
local name=$words[2]
shift words
(( CURRENT-- ))
case $name in
{rows}    help) _describe command commands ;;
    *) _files ;;
esac
"""


def fish_text(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish(commands):
    lines = ["# fish completion for edgellm"]
    for c in commands:
        lines.append(f"complete -c edgellm -n __fish_use_subcommand -a {c.name} -d {fish_text(c.summary)}")
        for o in c.options:
            needs = " -r" if o["argument"].startswith(" ") else ""
            needs += " -f" if needs and not takes_file(o) else ""
            letter = f" -s {o['letter']}" if o["letter"] else ""
            lines.append(f"complete -c edgellm -n '__fish_seen_subcommand_from {c.name}'{letter} "
                         f"-l {o['name']}{needs} -d {fish_text(o['text'])}")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--run", default="")
    parser.add_argument("programs", nargs="+")
    given = parser.parse_args()
    commands, codes, version = ask(given.run.split(), given.programs[0], given.programs[1:])
    files = {"man1/edgellm.1": overview_page(commands, codes, version), "bash/edgellm": bash(commands),
             "zsh/_edgellm": zsh(commands), "fish/edgellm.fish": fish(commands)}
    files.update({f"man1/edgellm-{c.name}.1": command_page(c, version) for c in commands if c.synopsis})
    for name, text in files.items():
        path = given.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
