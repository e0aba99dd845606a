"""The form on "Where is my request?" (rule 8.2)."""

from __future__ import annotations

from wtforms import IntegerField, TextAreaField
from wtforms.validators import DataRequired, Length, NumberRange
from wtforms.widgets import HiddenInput

from webapp.forms import PortalForm
from webapp.models.base import MAX_ID


class AnswerForm(PortalForm):
    question = IntegerField(widget=HiddenInput(), validators=[DataRequired(), NumberRange(1, MAX_ID)])
    answer = TextAreaField(
        "Your answer",
        validators=[
            DataRequired("Enter your answer"),
            Length(max=1000, message="Your answer must have 1,000 characters or fewer"),
        ],
    )
