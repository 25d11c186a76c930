"""Short English stories from a grammar: as many as you like, the same for the same seed, free to give away.

A story has a hero, a friend, a place and one of eight plots: something is lost, made, feared, shared, raced for,
kept secret, visited or counted. Pronouns, verbs and plurals agree (one fox was, two foxes were; Anna, she, her),
and names and things come back later in the story: there is something to learn at every distance, from the next
letters to the first sentence.

In the spirit of Eldan and Li 2023, "TinyStories", whose stories were written by large language models; these
come from the lists below.
Notebook: 10_why_training_matters.
"""

import random

from gptcore.checks import check_count

# name: subject, object and possessive pronoun
PEOPLE = {name: ("she", "her", "her") for name in "Anna Mira Lena Sara Nina Ruth Iris Zoe Amina Rosa".split()}
PEOPLE |= {name: ("he", "him", "his") for name in "Tom Ben Max Omar Paul Leo Ivan Noah Sam Kofi".split()}
# one: many
ANIMALS = {
    "fox": "foxes", "bear": "bears", "rabbit": "rabbits", "mouse": "mice", "owl": "owls", "frog": "frogs",
    "duck": "ducks", "cat": "cats", "dog": "dogs", "goat": "goats", "hen": "hens", "pony": "ponies",
    "turtle": "turtles", "goose": "geese",
}  # fmt: skip
THINGS = {
    "ball": "balls", "book": "books", "key": "keys", "hat": "hats", "boat": "boats", "drum": "drums", "kite": "kites",
    "lamp": "lamps", "box": "boxes", "coin": "coins", "shoe": "shoes", "cup": "cups", "bell": "bells",
    "spoon": "spoons",
}  # fmt: skip
FOODS = {
    "apple": "apples", "cake": "cakes", "pear": "pears", "bun": "buns", "carrot": "carrots", "cookie": "cookies",
    "plum": "plums", "nut": "nuts", "berry": "berries", "melon": "melons",
}  # fmt: skip
NATURES = "small big old young brave shy kind clever funny quiet happy lazy curious gentle".split()
LOOKS = "red blue green yellow white black shiny heavy tiny round wooden golden".split()
PLACES = [
    "in the garden", "by the river", "in the forest", "on the hill", "near the lake", "in the village",
    "at the farm", "in the barn", "on the beach", "in the park", "behind the house", "under the bridge",
]  # fmt: skip
SPOTS = [
    "under a leaf", "behind a tree", "in the tall grass", "under the bed", "in a basket", "on a stone",
    "near the door", "in an empty nest", "under a chair", "between two rocks",
]  # fmt: skip
TIMES = [
    "one morning", "one day", "one evening", "in the spring", "in the summer", "on a cold day", "after the rain",
    "on a sunny day", "before breakfast", "in the winter",
]  # fmt: skip
FEARS = [
    "the dark", "the wind", "the thunder", "deep water", "the big dog", "the loud bell", "the snow", "the old house",
]  # fmt: skip
GOALS = ["the tree", "the bridge", "the old wall", "the gate", "the big stone"]
GAMES = ["hide and seek", "catch", "a new game", "music", "in the water", "with a rope"]
BAD_FEELINGS = "sad worried afraid angry lonely tired hungry".split()
GOOD_FEELINGS = "happy proud glad calm cheerful thankful".split()
LESSONS = [
    "it is good to share", "a friend is better than gold", "small steps lead far", "asking for help is brave",
    "good things take time", "everyone can be kind", "even the small can help", "it is fine to make mistakes",
]  # fmt: skip


def write_stories(number, seed=123):
    """Return `number` stories as a list of texts; the same seed gives the same stories.

    Raises: TypeError or ValueError when `number` is not a whole number of at least 1.

    >>> write_stories(1)[0][:41]
    'After the rain Lena was in the garden. Le'
    """
    check_count("number", number, least=1)
    draw = random.Random(seed)
    return [_write_story(draw) for _ in range(number)]


class _Someone:
    """A person or an animal, in the words that a story uses for it."""

    def __init__(self, draw):
        if draw.random() < 0.5:
            name = draw.choice(list(PEOPLE))
            self.name = self.introduced = self.called = self.kind = name
            self.subject, self.them, self.their = PEOPLE[name]
        else:
            animal, nature = draw.choice(list(ANIMALS)), draw.choice(NATURES)
            self.name, self.introduced, self.called = f"the {animal}", f"{_a(nature)} {nature} {animal}", animal
            self.kind = animal
            self.subject, self.them, self.their = "it", "it", "its"


class _Scene:
    """Who, with whom, where, when and with what: drawn once for a story."""

    def __init__(self, draw):
        self.pick = lambda *options: draw.choice(options)
        self.hero, self.friend = _Someone(draw), _Someone(draw)
        while self.friend.kind == self.hero.kind:
            self.friend = _Someone(draw)
        self.place, self.time = draw.choice(PLACES), draw.choice(TIMES)
        self.thing, self.look = draw.choice(list(THINGS)), draw.choice(LOOKS)
        self.food = draw.choice(list(FOODS))
        self.looking_thing = f"{_a(self.look)} {self.look} {self.thing}"


def _write_story(draw):
    scene = _Scene(draw)
    plot = draw.choice([_lost, _made, _feared, _shared, _raced, _secret, _visited, _counted])
    sentences = [*_opening(scene), *plot(scene), *_ending(scene)]
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _a(word):
    """The article that `word` wants."""
    return "an" if word[0] in "aeio" else "a"


def _opening(s):
    hero, friend = s.hero, s.friend
    lived = f"once there was {hero.introduced} who lived {s.place}."
    yield s.pick(
        f"{s.time} {hero.introduced} was {s.place}.",
        lived if hero.kind in ANIMALS else f"{hero.name} lived {s.place}.",
        f"{hero.introduced} and {friend.introduced} were {s.place}.",
        f"{s.time} {hero.introduced} met {friend.introduced} {s.place}.",
    )


def _lost(s):
    hero, friend = s.hero, s.friend
    yield s.pick(
        f"{hero.name} had {s.looking_thing}, and now it was gone.",
        f"{hero.name} could not find {hero.their} {s.look} {s.thing}.",
    )
    yield f"{hero.subject} looked everywhere and was very {s.pick(*BAD_FEELINGS)}."
    yield s.pick(
        f'"Where is my {s.thing}?" asked {hero.name}.',
        f'"Please help me to find my {s.thing}," said {hero.name}.',
    )
    yield f"{friend.name} helped {hero.them} to look for the {s.thing}."
    yield f"the {s.look} {s.thing} was {s.pick(*SPOTS)}."


def _made(s):
    hero, friend = s.hero, s.friend
    yield f"{hero.name} wanted to make {s.looking_thing} for {friend.name}."
    yield s.pick(
        f"{hero.subject} worked all day, but the {s.thing} broke.",
        f"at first the {s.thing} was too {s.pick('big', 'small', 'heavy')}.",
    )
    yield f"{hero.name} was {s.pick(*BAD_FEELINGS)}, but {hero.subject} tried again."
    yield f"in the evening the {s.thing} was ready, and it was {s.look}."
    yield f'"What a beautiful {s.thing}!" said {friend.name}.'


def _feared(s):
    hero, friend, fear = s.hero, s.friend, s.pick(*FEARS)
    yield f"{hero.name} was afraid of {fear}."
    yield s.pick(
        f"{hero.subject} did not want to go home alone.",
        f"when {hero.subject} thought of it, {hero.subject} ran away.",
    )
    yield f'"Do not be afraid," said {friend.name}. "I will stay with you."'
    yield f"{hero.name} and {friend.name} went on together, step by step."
    yield f"soon {hero.name} was not afraid of {fear} any more."


def _shared(s):
    hero, friend, many = s.hero, s.friend, FOODS[s.food]
    yield f"{hero.name} had {s.pick('two', 'three', 'four', 'five')} {many}, and {friend.name} had none."
    yield f"{friend.name} was {s.pick('hungry', 'sad', 'tired')} and looked at the {many}."
    yield s.pick(
        f'"Would you like {_a(s.food)} {s.food}?" asked {hero.name}.',
        f'"These {many} are for both of us," said {hero.name}.',
    )
    yield f"{hero.name} gave {friend.them} {s.pick('one', 'the best one', 'half of them')}."
    yield f"they sat {s.place} and ate together."


def _raced(s):
    hero, friend, goal = s.hero, s.friend, s.pick(*GOALS)
    yield f'"I am faster than you," said {friend.name} to {hero.name}.'
    yield f"so they ran from the house to {goal}."
    yield s.pick(
        f"{friend.name} was fast, but {friend.subject} stopped to rest.",
        f"{friend.name} fell over {s.looking_thing}.",
    )
    yield s.pick(
        f"{hero.name} came to {goal} first.",
        f"{hero.name} stopped and helped {friend.them} up, and nobody won the race.",
    )
    yield f'"That was fun," said {s.pick(hero, friend).name}.'


def _secret(s):
    hero, friend = s.hero, s.friend
    yield f"{hero.name} had a secret."
    yield f"{s.pick(*SPOTS)} {hero.subject} kept {s.looking_thing}."
    yield f"{friend.name} wanted to know what it was."
    yield f'"Can you keep a secret?" asked {hero.name}. "Yes, I can," said {friend.name}.'
    yield f"then {hero.name} showed {friend.them} the {s.look} {s.thing}."


def _visited(s):
    hero, friend = s.hero, s.friend
    yield f"{hero.name} went to visit {friend.name} {s.pick(*PLACES)}."
    yield f"{hero.subject} brought {_a(s.food)} {s.food} in a basket."
    yield f"{friend.name} was {s.pick(*GOOD_FEELINGS)} to see {hero.them}."
    yield f"they ate the {s.food} and played {s.pick(*GAMES)}."
    yield f"when it was late, {hero.name} went home."


def _counted(s):
    hero, friend = s.hero, s.friend
    animal, count = s.pick(*ANIMALS), s.pick("one", "two", "three", "four", "five", "six")
    if count == "one":
        animals, thing, were, some, them = animal, s.thing, "was", "a", "it"
    else:
        animals, thing, were, some, them = ANIMALS[animal], THINGS[s.thing], "were", "some", "them"
    yield f"{hero.name} saw {count} {animals} {s.place}."
    yield f"the {animals} {were} looking for {some} {thing}."
    yield f'"There {"is" if count == "one" else "are"} {count} {animals}!" said {hero.name} to {friend.name}.'
    yield f"{friend.name} found {count} {thing} and gave {them} to {them}."


def _ending(s):
    hero, friend, good = s.hero, s.friend, s.pick(*GOOD_FEELINGS)
    yield s.pick(
        f"{hero.name} was {good}.",
        f"{hero.name} and {friend.name} were {good}.",
        f"they were both very {good}.",
        f'"Thank you, {friend.called}," said {hero.name}.',
    )
    yield s.pick(
        f"from that day on {hero.name} and {friend.name} were friends.",
        f"{hero.name} learned that {s.pick(*LESSONS)}.",
        f"that night {hero.name} slept well.",
        "and they laughed all the way home.",
        "the end.",
    )
