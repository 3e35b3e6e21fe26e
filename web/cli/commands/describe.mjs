import { helpText, parse } from '../args.mjs';
import { formatCount, MODEL_SPEC, openSession, print } from '../context.mjs';

export const help = () => helpText('describe', 'a model folder and its adapters', MODEL_SPEC);

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, MODEL_SPEC);
    const session = await openSession(values);
    print(values, await session.describe(), ({ model, modules, counts }) =>
        [
            `${formatCount(model.parameters)} parameters: ${model.num_hidden_layers} layers, hidden ${model.hidden_size}, ` +
                `FFN ${model.intermediate_size}, ${model.num_attention_heads} heads on ${model.num_key_value_heads} key/value ` +
                `heads of ${model.head_dim}, vocabulary ${model.vocab_size}, context ${model.max_position_embeddings}`,
            ...modules.map(
                (/** @type {any} */ m) =>
                    `${m.name}: ${m.label}, ${formatCount(m.parameters)} parameters (${((100 * m.parameters) / counts.total).toPrecision(3)} %)`,
            ),
        ].join('\n'),
    );
}
