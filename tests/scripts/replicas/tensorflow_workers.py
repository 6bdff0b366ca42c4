"""Two workers of TF_CONFIG under MultiWorkerMirroredStrategy, and a loop of its own."""

import keras
import tensorflow as tf
from sklearn.datasets import load_digits

strategy = tf.distribute.MultiWorkerMirroredStrategy()
worker = strategy.cluster_resolver.task_id
keras.utils.set_random_seed(0)
features, targets = (part[:205] for part in load_digits(return_X_y=True))
data = tf.data.Dataset.from_tensor_slices(((features / 16).astype("float32"), targets))
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
data = data.shuffle(205, seed=1).batch(40).with_options(options)
data = strategy.experimental_distribute_dataset(data)
with strategy.scope():
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(10)])
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)
    ticks = tf.Variable(0.0, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)


def step(inputs, labels):
    with tf.GradientTape() as tape:
        predicted = model(inputs, training=True)
        losses = keras.losses.sparse_categorical_crossentropy(labels, predicted, from_logits=True)
        rows = tf.distribute.get_replica_context().all_reduce("SUM", tf.cast(tf.size(losses), tf.float32))
        loss = tf.reduce_sum(losses) / rows
    gradients = tape.gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    ticks.assign_add(1.0)


@tf.function
def train(inputs, labels):
    strategy.run(step, args=(inputs, labels))


for _ in range(3):
    for inputs, labels in data:
        train(inputs, labels)
        optimizer.learning_rate.assign(0.1 * 0.97**ticks)
