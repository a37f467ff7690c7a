"""The one way in which a page is made: a record of what it says, one base template, one stylesheet."""
