"""What a person sees of an analysis: words in the reader's language, HTML and a printed page.

HTML carries classes but no styles: style.css has those, page.js what an answer does by itself in a browser. Text from
outside is escaped.
"""
