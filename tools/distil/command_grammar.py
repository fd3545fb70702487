"""The words of distil.commands: what a home has, and how people ask for it. Tables only, and the
slots that are made by rule (numbers, times).

A slot of a template is {name}. SLOTS gives for each the key of the answer that it fills (None: it
says nothing the answer needs) and its draw: rng -> (as it is said, value in the answer).
"""
from collections import namedtuple

SYSTEM = "You control a smart home. Answer with one JSON object."
KEYS = ("action", "device", "room", "except", "value")  # the order in every answer

# weight: its share of the rows. constants: what the answer has besides the template's slots.
# train, held: templates; the second are in the test only. A template that begins with "~" is no
# imperative, so it takes no polite form; after "->" stands what its answer has besides the slots.
Intent = namedtuple("Intent", "name weight constants train held")
Slot = namedtuple("Slot", "key draw")


def one_of(*pairs):
    return lambda rng: rng.choice(pairs)


def same(*words):
    return one_of(*((word, word) for word in words))


def named(**names):
    """Several names of each value; the first is said more often."""
    pairs = []
    for value, said in names.items():
        value = value.replace("_", " ")
        pairs += [(said[0], value)] * (3 - min(len(said), 2)) + [(word, value) for word in said]
    return one_of(*pairs)


ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen").split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(n, joint=" "):
    """0 to 100."""
    if n < 20:
        return ONES[n]
    if n == 100:
        return "one hundred"
    return TENS[n // 10] + (joint + ONES[n % 10] if n % 10 else "")


def number(rng, n):
    """In digits or words."""
    return str(n) if rng.random() < 0.6 else in_words(n, rng.choice("  -"))


def percent(rng):
    if rng.random() < 0.06:
        return "half", 50
    n = 5 * rng.randint(1, 20) if rng.random() < 0.7 else rng.randint(1, 100)
    if rng.random() < 0.3:
        return f"{n}%", n
    return number(rng, n) + rng.choice((" percent", " percent", "")), n


def degrees(rng):
    n = rng.randint(14, 27)
    return number(rng, n) + rng.choice((" degrees", " degrees", "")), n


def step(rng):
    n = rng.randint(1, 5)
    if n == 1:
        return rng.choice(("a degree", "one degree", "1 degree")), 1
    return number(rng, n) + " degrees", n


def speed(rng):
    n = rng.randint(1, 6)
    return number(rng, n), n


LENGTHS = (("half an hour", "30 min"), ("an hour", "1 h"), ("a minute", "1 min"),
           ("a quarter of an hour", "15 min"), ("an hour and a half", "90 min"))
UNITS = (("minute", "min", 2, 59), ("minute", "min", 2, 30), ("second", "s", 10, 90),
         ("hour", "h", 2, 12))


def length(rng):
    if rng.random() < 0.15:
        return rng.choice(LENGTHS)
    unit, short, low, high = rng.choice(UNITS)
    n = rng.randint(low, high)
    return f"{number(rng, n)} {unit}s", f"{n} {short}"


def length_before(rng):
    """As in "a ten minute timer": no article of its own, none that would need "an"."""
    unit, short, low, high = rng.choice(UNITS)
    n = rng.choice([n for n in range(low, high + 1) if n not in (8, 11, 18) and n // 10 != 8])
    return f"{number(rng, n)} {unit}", f"{n} {short}"


HALVES = ((5, 11, 0, ("am", "am", "in the morning")), (1, 4, 12, ("pm", "in the afternoon")),
          (5, 8, 12, ("pm", "pm", "in the evening")), (9, 11, 12, ("pm", "at night")))


def clock(rng):
    low, high, more, names = rng.choice(HALVES)
    hour = rng.randint(low, high)
    minute = rng.choice((0, 0, 0, 15, 30, 30, 45, 5 * rng.randint(1, 11)))
    value = f"{hour + more:02d}:{minute:02d}"
    forms = [f"{hour}:{minute:02d}"]
    if minute == 0:
        forms += [str(hour), in_words(hour), f"{in_words(hour)} o'clock"]
    elif minute >= 10:
        forms.append(f"{in_words(hour)} {in_words(minute)}")
    forms += {15: [f"quarter past {in_words(hour)}"], 30: [f"half past {in_words(hour)}"],
              45: [f"quarter to {in_words(hour + 1)}"]}.get(minute, [])
    said = rng.choice(forms)
    after = rng.choice(names)
    if "o'clock" in said or "quarter" in said or "half" in said:  # never with "am"
        after = names[-1]
    return f"{said} {after}", value


ROOMS = named(bedroom=("bedroom",), kitchen=("kitchen",), bathroom=("bathroom",), attic=("attic",),
              living_room=("living room", "lounge", "sitting room"), office=("office", "study"),
              hallway=("hallway", "hall"), basement=("basement", "cellar"), garage=("garage",),
              dining_room=("dining room",), nursery=("nursery",), garden=("garden", "yard"),
              guest_room=("guest room", "spare room"), laundry_room=("laundry room",))
SINGLE = dict(light=("light",), lamp=("lamp",), fan=("fan",), heater=("heater",),
              plug=("plug", "outlet", "socket"), tv=("tv", "television"),
              air_purifier=("air purifier",), humidifier=("humidifier",))
LIGHTS = named(light=("light", "lights"), lamp=("lamp",), ceiling_light=("ceiling light",))
COVERS = named(blinds=("blinds",), curtains=("curtains",), shutters=("shutters",))
DOORS = same("front door", "back door", "side door", "patio door", "gate")
OPENINGS = same("garage door", "skylight", "gate", "cat flap", "window")
COLOURS = same("red", "green", "blue", "yellow", "orange", "purple", "pink", "white", "turquoise",
               "warm white")
GENRES = same("jazz", "rock", "classical", "pop", "blues", "reggae", "folk", "techno", "soul",
              "country", "hip hop", "disco", "piano")

SLOTS = {
    "state": Slot("action", same("on", "off")),
    "power": Slot("action", one_of(("power up", "on"), ("shut down", "off"), ("kill", "off"),
                                   ("fire up", "on"), ("activate", "on"), ("deactivate", "off"))),
    "move": Slot("action", same("open", "close")),
    "pull": Slot("action", one_of(("pull up", "open"), ("pull down", "close"), ("shut", "close"))),
    "draw": Slot("action", one_of(("raise", "open"), ("lower", "close"), ("draw back", "open"),
                                  ("let down", "close"))),
    "lock": Slot("action", same("lock", "unlock")),
    "bolt": Slot("action", one_of(("bolt", "lock"), ("secure", "lock"), ("unbolt", "unlock"))),
    "locked": Slot("action", one_of(("locked", "lock"), ("unlocked", "unlock"))),
    "warmer": Slot("action", one_of(("warmer", "raise"), ("cooler", "lower"), ("colder", "lower"),
                                    ("hotter", "raise"))),
    "up": Slot("action", one_of(("up", "raise"), ("down", "lower"))),
    "louder": Slot("action", one_of(("louder", "raise"), ("quieter", "lower"))),
    "brighter": Slot("action", one_of(("brighter", "raise"), ("darker", "lower"))),
    "too_cold": Slot("action", one_of(("cold", "raise"), ("chilly", "raise"), ("hot", "lower"),
                                      ("warm", "lower"))),
    "halt": Slot("action", one_of(("pause", "pause"), ("stop", "stop"))),
    "switch": Slot("device", named(**{**SINGLE, "light": ("light", "lights"),
                                      "coffee_maker": ("coffee maker", "coffee machine")})),
    "thing": Slot("device", named(**SINGLE)),
    "light": Slot("device", LIGHTS),
    "cover": Slot("device", COVERS),
    "door": Slot("device", DOORS),
    "opening": Slot("device", OPENINGS),
    "climate": Slot("device", named(temperature=("temperature",), humidity=("humidity",))),
    "clocks": Slot("device", same("timer", "alarm")),
    "heating": Slot("device", named(thermostat=("thermostat", "heating"))),
    "room": Slot("room", ROOMS),
    "but": Slot("except", ROOMS),
    "percent": Slot("value", percent),
    "degrees": Slot("value", degrees),
    "step": Slot("value", step),
    "speed": Slot("value", speed),
    "length": Slot("value", length),
    "length_before": Slot("value", length_before),
    "clock": Slot("value", clock),
    "colour": Slot("value", COLOURS),
    "genre": Slot("value", GENRES),
    # What no answer names.
    "other": Slot(None, ROOMS),
    "a_room": Slot(None, ROOMS),
    "a_device": Slot(None, same("light", "lamp", "fan", "heater", "tv", "thermostat", "speaker",
                                "coffee maker")),
    "a_state": Slot(None, same("on", "off")),
    "a_colour": Slot(None, COLOURS),
    "a_genre": Slot(None, GENRES),
    "food": Slot(None, same("rice", "pancakes", "lentils", "bread", "tomato soup", "lasagne",
                            "a boiled egg", "porridge", "curry", "apple pie")),
    "place": Slot(None, same("Italy", "Peru", "Norway", "Japan", "Kenya", "Canada", "Portugal",
                             "Vietnam", "Chile", "Poland", "Egypt", "Iceland")),
    "animal": Slot(None, same("cats", "owls", "whales", "bees", "dogs", "penguins", "spiders",
                              "horses", "snails", "elephants")),
    "invention": Slot(None, same("telephone", "bicycle", "printing press", "steam engine", "radio",
                                 "microscope", "zip", "light bulb", "thermostat")),
    "person": Slot(None, same("my sister", "my brother", "mum", "dad", "the neighbour", "my boss",
                              "grandma", "my friend Sam")),
    "day": Slot(None, same("Monday", "Tuesday", "Friday", "Saturday", "Sunday", "Thursday")),
    "subject": Slot(None, same("football", "chess", "history", "gardening", "poetry", "astronomy",
                               "cooking", "music", "the weather", "mathematics")),
}

# {} is the imperative. The second are in the test only.
POLITE = ("please {}", "{} please", "could you {}", "can you {}", "could you {} please",
          "would you {}", "hey, {}", "{} now", "{}, thanks", "can you please {}",
          "I'd like you to {}", "ok, {}", "{} for me")
POLITE_HELD = ("would you be so kind as to {}", "go ahead and {}", "{} when you get a chance",
               "I need you to {}", "quickly, {}", "{}, if you don't mind", "kindly {}")

INTENTS = (
    Intent("switch", 17, {}, (
        "turn {state} the {room} {switch}",
        "turn the {room} {switch} {state}",
        "turn {state} the {switch} in the {room}",
        "turn the {switch} in the {room} {state}",
        "switch {state} the {room} {switch}",
        "switch the {switch} in the {room} {state}",
        "put the {room} {switch} {state}",
        "turn {state} the {switch}",
        "switch the {switch} {state}",
        "~{room} {switch} {state}",
        "~{switch} {state} in the {room}",
        "~I want the {room} {switch} {state}",
        "~in the {room}, turn the {switch} {state}",
    ), (
        "{power} the {room} {switch}",
        "{power} the {switch} in the {room}",
        "flip the {room} {switch} {state}",
        "make sure the {room} {thing} is {state}",
        "~the {switch} in the {room} should be {state}",
        "have the {switch} {state} in the {room}",
    )),
    Intent("all", 5, {"room": "all"}, (
        "turn {state} all the lamps -> device=lamp",
        "turn all the lights {state} -> device=light",
        "switch {state} the lights everywhere -> device=light",
        "switch {state} every light in the house -> device=light",
        "turn {state} all the lights except in the {but} -> device=light",
        "turn the lights {state} everywhere but not in the {but} -> device=light",
        "turn all the heaters {state} -> device=heater",
        "turn {state} every fan except the one in the {but} -> device=fan",
        "{move} all the {cover}",
        "{move} the {cover} in every room",
        "{move} all the {cover} but not in the {but}",
    ), (
        "turn {state} each and every light -> device=light",
        "turn the lights {state} in all rooms apart from the {but} -> device=light",
        "{draw} the {cover} in the whole house",
        "{draw} all the {cover}, only not in the {but}",
    )),
    Intent("not that one", 4, {}, (
        "turn {state} the {switch} in the {room}, not the {other}",
        "switch the {room} {thing} {state}, not the one in the {other}",
        "turn {state} the {other}, no sorry, the {room} {switch}",
        "{move} the {room} {cover}, not the {other} ones",
    ), (
        "turn the {thing} {state}, I mean the one in the {room}, not the {other}",
        "leave the {other} alone and turn {state} the {room} {switch}",
    )),
    Intent("level", 9, {"action": "set"}, (
        "dim the {room} {light} to {percent}",
        "set the {room} {light} to {percent}",
        "set the {light} in the {room} to {percent}",
        "set the brightness of the {room} {light} to {percent}",
        "dim the {light} to {percent}",
        "put the {light} in the {room} at {percent}",
        "turn the {room} {light} down to {percent}",
        "turn the {light} in the {room} up to {percent}",
        "~{room} {light} {percent}",
    ), (
        "bring the {room} {light} to {percent}",
        "~I'd like the {light} in the {room} at {percent}",
        "adjust the {room} {light} to {percent}",
        "fade the {light} in the {room} to {percent}",
    )),
    Intent("colour", 6, {"action": "set"}, (
        "make the {room} {light} {colour}",
        "set the {light} in the {room} to {colour}",
        "turn the {room} {light} {colour}",
        "change the colour of the {room} {light} to {colour}",
        "change the {light} to {colour}",
        "~I want {colour} for the {room} {light}",
        "set the {room} {light} color to {colour}",
    ), (
        "paint the {room} {light} {colour}",
        "switch the {light} in the {room} over to {colour}",
        "give the {room} {light} a {colour} glow",
    )),
    Intent("brighter", 3, {}, (
        "make the {room} {light} {brighter}",
        "make the {light} in the {room} a bit {brighter}",
        "turn {up} the {room} {light} a little",
    ), (
        "~the {light} in the {room} could be {brighter}",
    )),
    Intent("cover", 6, {}, (
        "{move} the {room} {cover}",
        "{move} the {cover} in the {room}",
        "{move} the {cover}",
        "{pull} the {room} {cover}",
        "{pull} the {cover} in the {room}",
        "~I want you to {move} the {cover} in the {room}",
    ), (
        "{draw} the {room} {cover}",
        "{draw} the {cover} in the {room}",
        "~it's time to {move} the {room} {cover}",
    )),
    Intent("cover level", 4, {"action": "set"}, (
        "set the {room} {cover} to {percent}",
        "open the {cover} in the {room} to {percent}",
        "put the {room} {cover} at {percent}",
        "close the {room} {cover} to {percent}",
    ), (
        "move the {room} {cover} to {percent}",
        "adjust the {cover} in the {room} to {percent}",
    )),
    Intent("heat", 6, {"action": "set"}, (
        "set the {room} {heating} to {degrees}",
        "set the {heating} in the {room} to {degrees}",
        "set the {heating} to {degrees}",
        "turn the {room} {heating} up to {degrees}",
        "turn the {heating} in the {room} down to {degrees}",
        "heat the {room} to {degrees} -> device=thermostat",
        "make it {degrees} in the {room} -> device=thermostat",
        "~I want {degrees} in the {room} -> device=thermostat",
    ), (
        "keep the {room} at {degrees} -> device=thermostat",
        "warm the {room} up to {degrees} -> device=thermostat",
        "adjust the {heating} in the {room} to {degrees}",
        "~the {room} should be at {degrees} -> device=thermostat",
    )),
    Intent("warmer", 5, {"device": "thermostat"}, (
        "make the {room} {step} {warmer}",
        "make it {step} {warmer} in the {room}",
        "turn the heating in the {room} {up} by {step}",
        "turn the {room} thermostat {up} {step}",
        "~it's too {too_cold} in the {room}",
        "make it {warmer} in the {room}",
    ), (
        "~the {room} is far too {too_cold}",
        "~I'd like it {step} {warmer} in the {room}",
    )),
    Intent("fan speed", 4, {"action": "set", "device": "fan"}, (
        "set the {room} fan to speed {speed}",
        "set the fan in the {room} to {speed}",
        "turn the {room} fan to level {speed}",
        "put the fan on {speed} in the {room}",
        "set the fan speed to {speed}",
    ), (
        "run the {room} fan at speed {speed}",
        "let the fan in the {room} spin at level {speed}",
    )),
    Intent("play", 5, {"action": "play", "device": "music"}, (
        "play some {genre} in the {room}",
        "play {genre} music in the {room}",
        "play {genre}",
        "put on some {genre} in the {room}",
        "put {genre} music on in the {room}",
        "~I want to hear some {genre} in the {room}",
        "start some {genre} music",
    ), (
        "~I'm in the mood for {genre} in the {room}",
        "get some {genre} going in the {room}",
        "stream {genre} music to the {room}",
    )),
    Intent("music", 3, {"device": "music"}, (
        "{halt} the music in the {room}",
        "{halt} the music",
        "{halt} the song in the {room}",
        "skip this song -> action=next",
        "play the next song in the {room} -> action=next",
        "go to the next track -> action=next",
        "skip to the next song in the {room} -> action=next",
    ), (
        "{halt} whatever is playing in the {room}",
        "jump to the following track in the {room} -> action=next",
    )),
    Intent("volume", 5, {"device": "volume"}, (
        "set the volume in the {room} to {percent} -> action=set",
        "set the {room} volume to {percent} -> action=set",
        "turn the volume to {percent} -> action=set",
        "turn the music {up} in the {room}",
        "turn {up} the volume in the {room}",
        "make the music {louder} in the {room}",
        "make it {louder}",
        "turn the {room} music up to {percent} -> action=set",
    ), (
        "crank the {room} volume {up}",
        "put the sound in the {room} at {percent} -> action=set",
        "~the music in the {room} should be {louder}",
    )),
    Intent("lock", 4, {}, (
        "{lock} the {door}",
        "~I want the {door} {locked}",
        "make sure the {door} is {locked}",
        "~{lock} the {door} before I go to bed",
        "~{lock} the {door}, somebody is coming",
        "check the {door} and {lock} it",
    ), (
        "{bolt} the {door}",
        "~the {door} has to be {locked}",
    )),
    Intent("opening", 3, {}, (
        "{move} the {opening}",
        "{move} up the {opening}",
        "~{move} the {opening}, I'm almost home",
        "~I want the {opening} to {move}",
        "{move} the window in the {room} -> device=window",
        "{move} the {room} window -> device=window",
    ), (
        "get the {opening} to {move}",
        "~it's windy, {move} the window in the {room} -> device=window",
    )),
    Intent("timer", 6, {"action": "set", "device": "timer"}, (
        "set a timer for {length}",
        "start a timer for {length}",
        "start a {length_before} timer",
        "set a {length_before} timer",
        "~timer for {length}",
        "remind me in {length}",
        "~I need a timer for {length}",
    ), (
        "count down {length}",
        "~give me a shout in {length}",
        "let a timer run for {length}",
    )),
    Intent("alarm", 6, {"action": "set", "device": "alarm"}, (
        "set an alarm for {clock}",
        "wake me up at {clock}",
        "wake me at {clock}",
        "set the alarm to {clock}",
        "~I need an alarm at {clock}",
        "~I have to get up at {clock}",
    ), (
        "get me out of bed at {clock}",
        "~make the alarm ring at {clock}",
    )),
    Intent("cancel", 2, {"action": "cancel"}, (
        "cancel the {clocks}",
        "cancel my {clocks}",
        "turn off the {clocks}",
        "stop the {clocks}",
        "delete the {clocks}",
        "~I don't need the {clocks} any more",
        "~no {clocks} tomorrow",
    ), (
        "forget about the {clocks}",
        "call off the {clocks}",
    )),
    Intent("query", 13, {"action": "query"}, (
        "~is the {opening} open?",
        "~is the {opening} closed?",
        "~is the {door} locked?",
        "~did I lock the {door}?",
        "~did I leave the {room} {thing} on?",
        "~is the {thing} in the {room} on?",
        "~is the {room} {thing} still on?",
        "~are the {cover} in the {room} open?",
        "~are the {cover} closed in the {room}?",
        "~what is the {climate} in the {room}?",
        "~what's the {room} {climate}?",
        "tell me the {climate} in the {room}",
        "~how warm is it in the {room}? -> device=temperature",
        "~how cold is the {room}? -> device=temperature",
        "~how humid is it in the {room}? -> device=humidity",
        "~is anybody in the {room}? -> device=motion",
        "~is there any movement in the {room}? -> device=motion",
        "~how long is left on the timer? -> device=timer",
        "~what time is the alarm set for? -> device=alarm",
        "~how bright is the {room} lamp? -> device=lamp",
        "~what is the thermostat in the {room} set to? -> device=thermostat",
        "check if the {door} is locked",
    ), (
        "~has the {opening} been left open?",
        "~can you see whether the {door} is locked?",
        "~do I still have the {thing} running in the {room}?",
        "~have the {cover} in the {room} been closed?",
        "~give me the current {climate} of the {room}",
        "~how many degrees are there in the {room}? -> device=temperature",
        "~has someone entered the {room}? -> device=motion",
        "~when does the timer end? -> device=timer",
    )),
    Intent("none", 26, {"action": "none"}, (
        "~good morning, it's {day} at last",
        "~hello, how are you today?",
        "~thank you, that is all",
        "~what is the capital of {place}?",
        "~how many people live in {place}?",
        "~have you ever been to {place}?",
        "~we are flying to {place} on {day}",
        "tell me a joke about {animal}",
        "tell me something about {animal}",
        "~why do {animal} sleep so much?",
        "~do {animal} like {food}?",
        "~how do I cook {food}?",
        "~what goes well with {food}?",
        "~{person} makes the best {food}",
        "~who invented the {invention}?",
        "~when was the {invention} invented?",
        "write a poem about {animal}",
        "explain {subject} to me",
        "~I am reading a book about {subject}",
        "~is {subject} hard to learn?",
        "~{person} is coming over on {day}",
        "~{person} called about {subject}",
        "~will it rain on {day}?",
        "~what are you good at?",
        "~I really like the {a_room}",
        "~how much does a new {a_device} cost?",
        "~{person} bought a {a_colour} {a_device}",
        "~the {a_device} in the {a_room} is very old",
        "~which {a_device} is best for a {a_room}?",
        "~how does a {a_device} work?",
        "~we painted the {a_room} {a_colour}",
        "~is {a_colour} a good colour for a {a_room}?",
        "~don't turn {a_state} the {a_room} {a_device}",
        "~please don't touch the {a_device} in the {a_room}",
        "leave the {a_room} {a_device} as it is",
        "~I already turned the {a_room} {a_device} {a_state}",
        "~{person} turned {a_state} the {a_device} yesterday",
        "~can {animal} swim?",
        "~how big do {animal} get?",
        "~{person} asked me about {animal}",
        "~what should I bring to the party on {day}?",
        "~I forgot to buy {food} for {person}",
        "~do you think {person} would like {place}?",
        "~what time is it in {place}?",
        "~say good night to {person} in the language of {place}",
        "~my back hurts since {day}",
        "~I had {food} with {person} on {day}",
        "~give me three facts about {place}",
        "~should I put a {a_device} in the {a_room}?",
        "~why is it called a {a_device}?",
        "~I dreamt of {animal} in the {a_room}",
        "~thanks, the {a_room} feels nice now",
        "~who sings this {a_genre} song?",
        "~{person} doesn't like {a_genre}",
        "~is {a_genre} popular in {place}?",
    ), (
        "~what language do they speak in {place}?",
        "~what is the weather like in {place}?",
        "~what do {animal} eat?",
        "~how long does it take to make {food}?",
        "~{person} taught me how to make {food}",
        "recommend a film about {subject}",
        "~my favourite {a_colour} {a_device} broke on {day}",
        "~the {a_room} looks lovely in {a_colour}",
        "~there is no need to turn {a_state} the {a_room} {a_device}",
        "~never switch {a_state} the {a_device} in the {a_room}",
        "~where can I buy a {a_device} for the {a_room}?",
        "~{person} and I were talking about {animal}",
        "~what's the history of {a_genre} in {place}?",
        "~how far is it to {place}?",
        "~what is {food} made of?",
        "~{person} has a meeting on {day}",
        "~can you sing something about {place}?",
        "~how often should I dust the {a_device}?",
        "~the children are playing in the {a_room}",
        "~nice to meet you, {person} told me about you",
    )),
)
