"""What a result looks like: a card of HTML, the same in words, and the code that gives it again."""
