"""A seeded grammar of English sentences: the values that the retrieval probes ask for.

A sentence has only ASCII letters, spaces and commas, so that JSON has nothing to escape. It has no full stop at the
end, because byte-pair tokenizers merge `.",` into one token. The value's last token in a JSON object would then differ
from the answer's, and could never count as copied.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

_SYMBOL = re.compile(r"{(\w+)}")
_A_BEFORE_VOWEL = re.compile(r"\ba (?=[aeiou])")

# One shape of sentence per line. They differ in first words and word order on purpose: with few shapes, a model guesses
# much of a value from the other values instead of retrieving it.
_SHAPES = """\
{person} {verb} {thing}
{person} {verb} {thing} {time}
{person} {adverb} {verb} {thing} {place}
{time} {person} {verb} {thing} {place}
{place} {person} {adverb} {verb} {thing}
{name} {verb} {thing} and then {moved} {place}
{name} and {name} {verb} {thing} {time}
{name} never told {person} about {thing}
{name} suspects that {idea} {matters} {idea}
{name} asked whether {person} had {verb} {thing} or {thing}
{number} {adjective} {animal}s {moved} {place}
{number} {animal}s and {number} {animal}s {moved} {place} {time}
{number} of the {object}s {place} were {colour}
{person} sold {number} {object}s to {name} for {number} coins
{person} who {verb} {thing} also {verb} {thing}
although {weather}, {person} {verb} {thing} {place}
because {weather}, the {animal}s {moved} {place}
while {name} {verb} {thing}, {weather}
nobody in {city} remembered why {person} {verb} {thing}
everyone from {city} to {city} talked about {idea} {time}
{city} was famous for its {material} {object}s and {adjective} {animal}s
the road from {city} to {city} passes {adjective} fields of {crop}
the train to {city} carried {crop}, {material} and {number} {animal}s
the {material} {object} {place} belongs to {person}
the {object} that {name} {verb} was made of {material}
{item} costs more than {number} {object}s in {city}
{item} lay hidden {place} until {name} {moved} there
there is {item} {place} and {item} {place}
it took {number} weeks to carry {thing} to {city}
without {crop} and {material} there would be no {animal}s in {city}
only {person} knows how {idea} {matters} {idea}
{idea} {matters} {idea}, according to {person}
{idea} and {idea} were the first lessons of {name}
every {adjective} {animal} prefers {crop} to {crop}
when {weather}, {name} {adverb} {verb} {thing}
please bring {thing} and some {crop} to {name} {time}
before {person} could speak, {number} {animal}s {moved} {place}
instead of {crop}, {name} planted {crop} {place}
a letter about {idea} reached {city} {time}
""".splitlines()


def _words(text: str) -> list[str]:
    return text.split()


def _phrases(text: str) -> list[str]:
    return [" ".join(phrase.split()) for phrase in text.split("|")]


_GRAMMAR: dict[str, list[str]] = {
    "person": _phrases(
        "the {role}|a {adjective} {role}|the {adjective} {role}|the {role} from {city}|my {adjective} {role}"
    ),
    "thing": _phrases("{item}|{item}|{item}|{number} {adjective} {object}s|{number} {material} {object}s"),
    "item": _phrases("""a {object}|the {colour} {object}|a {adjective} {object}|a {material} {object}|
        the {adjective} {material} {object}|a {adjective} {animal}|a {object} full of {crop}|
        the {object} of {name}|a {colour} {animal}|the {adjective} {object} from {city}"""),
    "name": _words("""Amelia Boris Carmen Dmitri Elena Farid Greta Hassan Ingrid Jonas Keiko Lorenzo Miriam
        Nadia Otto Priya Quentin Rosa Samuel Tamara Ulrich Valeria Winston Ximena Yusuf Zelda Anselm Beatrice
        Cedric Daphne Edmund Fiona Gustav Harriet Ivan Judith Kofi Leonora Magnus Niamh Orlando Petra Rashid"""),
    "city": _words("""Lisbon Oslo Cairo Kyoto Lima Nairobi Prague Quebec Riga Seville Tunis Utrecht Vienna Warsaw
        Zagreb Athens Boston Delhi Edinburgh Florence Geneva Havana Istanbul Jakarta Krakow Lagos Madrid Naples
        Osaka Porto Reykjavik Santiago Tallinn Venice Dublin Marseille Hamburg Melbourne Toronto Montevideo"""),
    "role": _words("""librarian carpenter surgeon gardener painter pilot baker sailor teacher lawyer farmer
        dancer miller tailor violinist plumber geologist nurse captain translator jeweller mayor blacksmith
        chemist reporter shepherd astronomer editor fisherman architect locksmith judge cook historian weaver
        actor merchant clerk engineer potter singer driver detective poet barber mason postman widow sculptor"""),
    "animal": _words("""owl heron otter camel badger falcon donkey tiger rabbit crane lizard turtle penguin goat
        spider beaver hedgehog parrot dolphin zebra pigeon moth leopard raven stork panther squirrel eagle
        lobster cricket monkey peacock salamander seal kitten tortoise hawk mule lamb"""),
    "object": _words("""lantern kettle mirror ladder basket violin telescope hammer carpet umbrella statue clock
        bottle saddle map candle drum bicycle blanket barrel necklace typewriter curtain spoon wheel teapot
        notebook helmet rope sword flute chair bell trunk portrait vase anchor piano window oven camera balloon
        suitcase whistle ring stamp pillow wagon coat sail"""),
    "adjective": _words("""old plain broken tiny heavy bright silent hungry famous clumsy elegant crooked dusty
        gentle rusty enormous fragile curious ancient hollow polished nervous stubborn foreign narrow expensive
        shy clever forgotten magnificent strange sleepy cheerful sturdy lonely wealthy weary playful borrowed
        painted frozen spotted graceful noisy patient secret modest slender brave"""),
    "colour": _words("""red blue green yellow purple orange grey black white brown golden crimson turquoise
        violet scarlet pink ivory emerald amber"""),
    "material": _words("""copper oak marble glass leather silk iron clay bronze wool bamboo granite cotton paper
        silver pine porcelain steel wax linen brick tin velvet slate straw"""),
    "crop": _words("""barley apples onions rice lemons wheat tulips potatoes cherries olives pepper cabbages
        walnuts honey grapes maize saffron beans figs lentils mushrooms pears garlic roses sugar tea coffee
        pumpkins carrots almonds"""),
    "verb": _words("""repaired bought painted described lost found carried borrowed polished sold dropped buried
        admired measured photographed delivered cleaned returned examined collected designed inherited wanted
        ignored rescued wrapped imported sketched dismantled donated restored weighed smuggled exchanged noticed
        burned copied assembled misplaced demanded protected"""),
    "moved": _words("""slept wandered waited danced vanished gathered hurried quarrelled rested marched crawled
        travelled shivered argued listened returned climbed camped stumbled settled fled laughed"""),
    "adverb": _words("""quietly carefully suddenly proudly secretly slowly happily reluctantly politely patiently
        eagerly calmly bravely rarely finally gladly foolishly often nearly hastily"""),
    "place": _phrases("""near the harbour|behind the old theatre|under the stone bridge|in a crowded market|
        beside the frozen lake|on the roof of the museum|at the edge of the forest|inside the lighthouse|
        across the valley|outside the courthouse|in the cellar of an inn|along the northern coast|
        between two vineyards|above the bakery|at the railway station|in the botanical garden|
        beneath the cathedral|on a distant island|by the village well|next to the hospital|
        in the middle of the desert|around the observatory|behind the waterfall|on the third floor|
        in the royal kitchen|at the foot of the mountain|inside a ruined castle|along the canal"""),
    "time": _phrases("""last winter|before dawn|on a rainy Tuesday|during the long strike|three years ago|
        at midnight|in early spring|after the wedding|one summer evening|every second Friday|
        during the eclipse|in the ninth century|shortly before the war|on the eve of the festival|
        last Thursday|after a hundred days|during breakfast|at noon|in late October|before the flood|
        between two storms|on the first of March|throughout the harvest"""),
    "idea": _phrases("""patience|music|the law of gravity|good advice|mathematics|fair trade|courage|
        the art of navigation|friendship|grammar|public health|the memory of childhood|silence|free speech|
        the fear of failure|modern medicine|geometry|a sense of humour|ambition|kindness|cheap energy|loyalty|
        the history of glass|solitude|chess|careful planning|poetry|justice|superstition"""),
    "matters": _phrases("""depends on|has little to do with|is older than|often leads to|cannot replace|
        is harder to teach than|grows out of|is more useful than|rarely survives without|begins with|
        matters less than"""),
    "weather": _phrases("""snow was falling|the river had frozen|a storm was coming|fog covered the hills|
        the sun had set|the wind blew from the east|thunder rolled over the bay|the rain had stopped|
        it was unbearably hot|the tide was rising|dust filled the air|the moon was full|
        hail had ruined the harvest|the first frost had come|lightning struck the tower"""),
    "number": _words("""two three four five six seven eight nine eleven twelve thirteen fifteen sixteen eighteen
        twenty thirty forty fifty sixty seventy ninety"""),
}


def draw_sentences(rng: random.Random) -> Iterator[str]:
    """English sentences of about 5 to 25 words, without end, that depend only on rng.

    Every shape is used once before any is used again. A sentence may come twice.
    """
    while True:
        for shape in rng.sample(_SHAPES, len(_SHAPES)):
            yield _finish(_expand(shape, rng))


def _expand(text: str, rng: random.Random) -> str:
    """The text with each {symbol} replaced by one of its alternatives, whose own symbols are replaced too."""
    return _SYMBOL.sub(lambda symbol: _expand(rng.choice(_GRAMMAR[symbol[1]]), rng), text)


def _finish(sentence: str) -> str:
    """The sentence with "an" in place of "a" before a vowel, and a capital letter at the start."""
    sentence = _A_BEFORE_VOWEL.sub("an ", sentence)
    return sentence[0].upper() + sentence[1:]
